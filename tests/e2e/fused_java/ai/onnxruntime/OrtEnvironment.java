package ai.onnxruntime;

public abstract class OrtEnvironment {
    public static OrtEnvironment getEnvironment() {
        throw new UnsupportedOperationException();
    }

    public abstract OrtSession createSession(String path, OrtSession.SessionOptions options) throws OrtException;
}
