package ai.onnxruntime;

/** Stand-in to compile examples/FusedMatched.java with, as all classes beside it: names and types, no work. */
public class OrtException extends Exception {
    private static final long serialVersionUID = 1;
}
