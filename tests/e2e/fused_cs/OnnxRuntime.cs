// Stand-ins for what examples/FusedMatched.cs uses of Microsoft.ML.OnnxRuntime, to compile it with: names and types are
// those of the package's documentation, and nothing works.
using System;
using System.Collections.Generic;

namespace Microsoft.ML.OnnxRuntime
{
    public sealed class RunOptions : IDisposable
    {
        public void Dispose() {}
    }

    public struct ReadOnlySpan<T>
    {
        public T[] ToArray() { throw new NotSupportedException(); }
    }

    public sealed class OrtValue : IDisposable
    {
        public static OrtValue CreateTensorValueFromMemory<T>(T[] data, long[] shape) where T : struct
        {
            throw new NotSupportedException();
        }

        public ReadOnlySpan<T> GetTensorDataAsSpan<T>() where T : struct { throw new NotSupportedException(); }

        public void Dispose() {}
    }

    public sealed class DisposableList : List<OrtValue>, IDisposable
    {
        public void Dispose() {}
    }

    public sealed class InferenceSession : IDisposable
    {
        public InferenceSession(string path) {}

        public DisposableList Run(RunOptions options, IReadOnlyDictionary<string, OrtValue> inputs,
                                  IReadOnlyCollection<string> outputs)
        {
            throw new NotSupportedException();
        }

        public void Dispose() {}
    }
}
