// Denoise planes with a fused sampler "matched": the package Microsoft.ML.OnnxRuntime. See docs/fused.md.
using System;
using System.Collections.Generic;
using System.Linq;
using Microsoft.ML.OnnxRuntime;

public sealed class FusedMatched : IDisposable
{
    public const long KernelSide = 25;

    private readonly InferenceSession session;

    /// <param name="model">Path of the file, such as general-matched.onnx.</param>
    public FusedMatched(string model)
    {
        session = new InferenceSession(model);
    }

    /// <summary>One plane of height x width raw pixels, denoised.</summary>
    /// <param name="intensity">low, high of baikal-noise --json; NaN: measured in the image.</param>
    /// <param name="noiseModel">gain, intercept, floor of baikal-noise --json; NaN: measured too.</param>
    /// <param name="correlation">correlation, raised, rows, columns of baikal-noise --json.</param>
    /// <param name="kernel">
    /// The kernel of baikal-noise --json, row by row; where that is null, zeros: pixels share no noise.
    /// NaN here or in correlation: both are measured.
    /// </param>
    public float[] Denoise(float[] image, long height, long width, float[] intensity, float[] noiseModel,
                           float[] correlation, float[] kernel)
    {
        var inputs = new Dictionary<string, OrtValue>
        {
            ["image"] = OrtValue.CreateTensorValueFromMemory(image, new[] { 1L, 1L, height, width }),
            ["intensity"] = OrtValue.CreateTensorValueFromMemory(intensity, new[] { 2L }),
            ["noise_model"] = OrtValue.CreateTensorValueFromMemory(noiseModel, new[] { 3L }),
            ["correlation"] = OrtValue.CreateTensorValueFromMemory(correlation, new[] { 4L }),
            ["kernel"] = OrtValue.CreateTensorValueFromMemory(kernel, new[] { KernelSide, KernelSide }),
        };
        try
        {
            using (var options = new RunOptions())
            using (var outputs = session.Run(options, inputs, new[] { "denoised" }))
            {
                return outputs.First().GetTensorDataAsSpan<float>().ToArray();
            }
        }
        finally
        {
            foreach (var value in inputs.Values)
            {
                value.Dispose();
            }
        }
    }

    public void Dispose()
    {
        session.Dispose();
    }
}
