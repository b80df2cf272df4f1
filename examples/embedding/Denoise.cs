// Denoise one frame with baikal-serve, with the HTTP client of .NET. See docs/embedding.md.
//
//   mcs Denoise.cs -r:System.Net.Http.dll && mono Denoise.exe http://127.0.0.1:8000 general frame.raw result.raw HEIGHT WIDTH
//
// frame.raw holds HEIGHT x WIDTH pixels of uint16, least significant byte first, as result.raw will. It is C# 7, which
// .NET Framework 4.7, Mono and .NET 6 have.
using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Text;
using System.Threading.Tasks;

static class Denoise
{
    const string Length = "Inference-Header-Content-Length";

    // The denoised pixels, in the type of the frame's; throws what the server says is wrong.
    static async Task<byte[]> Run(HttpClient client, string infer, byte[] frame, int height, int width)
    {
        byte[] text = Encoding.UTF8.GetBytes(
            $"{{\"inputs\": [{{\"name\": \"frame\", \"datatype\": \"UINT16\", \"shape\": [{height}, {width}], " +
            $"\"parameters\": {{\"binary_data_size\": {frame.Length}}}}}], " +
            "\"parameters\": {\"binary_data_output\": true}}");
        byte[] body = new byte[text.Length + frame.Length];
        text.CopyTo(body, 0);
        frame.CopyTo(body, text.Length);

        using (var request = new HttpRequestMessage(HttpMethod.Post, infer) { Content = new ByteArrayContent(body) })
        {
            request.Headers.Add(Length, text.Length.ToString(CultureInfo.InvariantCulture));
            if (Environment.GetEnvironmentVariable("BAIKAL_SERVE_TOKEN") is string token)
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);

            using (HttpResponseMessage answer = await client.SendAsync(request))
            {
                byte[] bytes = await answer.Content.ReadAsByteArrayAsync();
                if (!answer.IsSuccessStatusCode) // after 503 the frame may be sent again
                    throw new IOException("server: " + Encoding.UTF8.GetString(bytes));
                int length = int.Parse(answer.Headers.GetValues(Length).First(), CultureInfo.InvariantCulture);
                byte[] pixels = new byte[bytes.Length - length];
                Array.Copy(bytes, length, pixels, 0, pixels.Length);
                return pixels;
            }
        }
    }

    static int Main(string[] arguments)
    {
        if (arguments.Length != 6)
        {
            Console.Error.WriteLine("usage: Denoise URL MODEL FRAME RESULT HEIGHT WIDTH");
            return 1;
        }
        try
        {
            byte[] frame = File.ReadAllBytes(arguments[2]);
            int height = int.Parse(arguments[4]), width = int.Parse(arguments[5]);
            string infer = $"{arguments[0]}/v2/models/{arguments[1]}/infer";
            using (var client = new HttpClient())
                File.WriteAllBytes(arguments[3], Run(client, infer, frame, height, width).GetAwaiter().GetResult());
            Console.WriteLine($"{arguments[3]}: {height} x {width} pixels");
            return 0;
        }
        catch (Exception error) when (error is IOException || error is HttpRequestException)
        {
            Console.Error.WriteLine("denoise: " + error.Message);
            return 1;
        }
    }
}
