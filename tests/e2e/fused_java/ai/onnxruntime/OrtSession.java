package ai.onnxruntime;

import java.util.Map;

public abstract class OrtSession implements AutoCloseable {
    public static class SessionOptions {}

    public abstract static class Result implements AutoCloseable {
        public abstract OnnxValue get(int index);

        @Override
        public abstract void close();
    }

    public abstract Result run(Map<String, ? extends OnnxTensor> inputs) throws OrtException;

    @Override
    public abstract void close() throws OrtException;
}
