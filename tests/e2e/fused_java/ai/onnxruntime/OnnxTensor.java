package ai.onnxruntime;

import java.nio.FloatBuffer;

public abstract class OnnxTensor implements OnnxValue {
    public static OnnxTensor createTensor(OrtEnvironment environment, FloatBuffer data, long[] shape)
            throws OrtException {
        throw new OrtException();
    }

    public abstract FloatBuffer getFloatBuffer();
}
