// Denoise one frame with baikal-serve, with the HTTP client of the JDK (11 or newer). See docs/embedding.md.
//
//   java Denoise.java http://127.0.0.1:8000 general frame.raw result.raw HEIGHT WIDTH
//
// frame.raw holds HEIGHT x WIDTH pixels of uint16, least significant byte first, as result.raw will.
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

public final class Denoise {
    private static final String LENGTH = "Inference-Header-Content-Length";

    private Denoise() {}

    /** The denoised pixels, in the type of the frame's; throws what the server says is wrong. */
    static byte[] denoise(HttpClient client, URI infer, byte[] frame, int height, int width)
            throws IOException, InterruptedException {
        String json = "{\"inputs\": [{\"name\": \"frame\", \"datatype\": \"UINT16\", \"shape\": [" + height + ", "
                + width + "], \"parameters\": {\"binary_data_size\": " + frame.length + "}}], "
                + "\"parameters\": {\"binary_data_output\": true}}";
        byte[] text = json.getBytes(StandardCharsets.UTF_8);
        byte[] body = Arrays.copyOf(text, text.length + frame.length);
        System.arraycopy(frame, 0, body, text.length, frame.length);

        HttpRequest.Builder request = HttpRequest.newBuilder(infer)
                .header(LENGTH, Integer.toString(text.length))
                .POST(HttpRequest.BodyPublishers.ofByteArray(body));
        String token = System.getenv("BAIKAL_SERVE_TOKEN");
        if (token != null) {
            request.header("Authorization", "Bearer " + token);
        }
        HttpResponse<byte[]> answer = client.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
        if (answer.statusCode() != 200) { // after 503 the frame may be sent again
            throw new IOException("server: " + new String(answer.body(), StandardCharsets.UTF_8));
        }
        int length = Integer.parseInt(answer.headers().firstValue(LENGTH).orElseThrow());
        return Arrays.copyOfRange(answer.body(), length, answer.body().length);
    }

    public static void main(String[] arguments) throws InterruptedException {
        if (arguments.length != 6) {
            System.err.println("usage: Denoise URL MODEL FRAME RESULT HEIGHT WIDTH");
            System.exit(1);
        }
        // HTTP/1.1 only: the server does not know how to go on to HTTP/2.
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        URI infer = URI.create(arguments[0] + "/v2/models/" + arguments[1] + "/infer");
        try {
            byte[] frame = Files.readAllBytes(Path.of(arguments[2]));
            int height = Integer.parseInt(arguments[4]);
            int width = Integer.parseInt(arguments[5]);
            Files.write(Path.of(arguments[3]), denoise(client, infer, frame, height, width));
            System.out.println(arguments[3] + ": " + height + " x " + width + " pixels");
        } catch (IOException error) {
            System.err.println("denoise: " + error.getMessage());
            System.exit(1);
        }
    }
}
