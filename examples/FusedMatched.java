// Denoise planes with a fused sampler "matched": the package com.microsoft.onnxruntime:onnxruntime. See docs/fused.md.
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.nio.FloatBuffer;
import java.util.Map;

public final class FusedMatched implements AutoCloseable {
    public static final int KERNEL_SIDE = 25;

    private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
    private final OrtSession session;

    /** A sampler from the path of its file, such as general-matched.onnx. */
    public FusedMatched(String model) throws OrtException {
        session = environment.createSession(model, new OrtSession.SessionOptions());
    }

    /**
     * One plane of height x width raw pixels, denoised.
     *
     * @param intensity low, high of baikal-noise --json; NaN: measured in the image
     * @param noiseModel gain, intercept, floor of baikal-noise --json; NaN: measured too
     * @param correlation correlation, raised, rows, columns of baikal-noise --json
     * @param kernel the kernel of baikal-noise --json, row by row; where that is null, zeros: pixels share no
     *     noise. NaN here or in correlation: both are measured
     */
    public float[] denoise(
            float[] image,
            int height,
            int width,
            float[] intensity,
            float[] noiseModel,
            float[] correlation,
            float[] kernel)
            throws OrtException {
        try (OnnxTensor planes = tensor(image, 1, 1, height, width);
                OnnxTensor range = tensor(intensity, 2);
                OnnxTensor noise = tensor(noiseModel, 3);
                OnnxTensor shared = tensor(correlation, 4);
                OnnxTensor neighbours = tensor(kernel, KERNEL_SIDE, KERNEL_SIDE);
                OrtSession.Result result =
                        session.run(
                                Map.of(
                                        "image", planes,
                                        "intensity", range,
                                        "noise_model", noise,
                                        "correlation", shared,
                                        "kernel", neighbours))) {
            float[] pixels = new float[image.length];
            ((OnnxTensor) result.get(0)).getFloatBuffer().get(pixels);
            return pixels;
        }
    }

    private OnnxTensor tensor(float[] values, long... shape) throws OrtException {
        return OnnxTensor.createTensor(environment, FloatBuffer.wrap(values), shape);
    }

    @Override
    public void close() throws OrtException {
        session.close();
    }
}
