/* Denoise one plane with a fused sampler "matched": one call of ONNX Runtime's C API. See docs/fused.md.
 *
 *   cc -O2 fused_matched.c -I ORT/include -L ORT/lib -lonnxruntime -o fused_matched
 *   ./fused_matched general-matched.onnx plane.raw result.raw HEIGHT WIDTH [NUMBERS]
 *
 * plane.raw holds HEIGHT x WIDTH float32 pixels in raw camera units. NUMBERS is a text file of what
 * baikal-noise --json tells: low, high, gain, intercept, floor; then correlation, raised, rows, columns;
 * then, where pixels share the noise, the 25 x 25 numbers of the kernel. The graph measures what is "nan"
 * or not in the file, and all without a file. Nine numbers say that pixels share no noise.
 * (On Windows, CreateSession takes the path as wchar_t.)
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <onnxruntime_c_api.h>

enum { IMAGE, INTENSITY, NOISE_MODEL, CORRELATION, KERNEL, INPUTS };
static const char *const input_names[INPUTS] = {"image", "intensity", "noise_model", "correlation", "kernel"};
static const char *const output_names[1] = {"denoised"};

/* How many numbers there are: of one pixel's noise, with what pixels share but for the kernel, and all. */
enum { ALONE = 5, SHARED = 9, SIDE = 25, NUMBERS = SHARED + SIDE * SIDE };

static const OrtApi *ort;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "fused_matched: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void check(OrtStatus *status)
{
    if (status != NULL) {
        fail("ONNX Runtime", ort->GetErrorMessage(status));
    }
}

static float *read_floats(const char *path, size_t count)
{
    float *values = malloc(count * sizeof *values);
    FILE *file = fopen(path, "rb");
    if (values == NULL) {
        fail("memory", "there is not enough for the image; cut it into smaller planes");
    }
    if (file == NULL) {
        fail(path, "cannot be opened");
    }
    if (fread(values, sizeof *values, count, file) != count || fgetc(file) != EOF) {
        fail(path, "is not of the size that its float32 values should have");
    }
    fclose(file);
    return values;
}

static void write_floats(const char *path, const float *values, size_t count)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(values, sizeof *values, count, file) != count || fclose(file) != 0) {
        fail(path, "cannot be written");
    }
}

static int64_t positive(const char *text)
{
    char *end;
    long long value = strtoll(text, &end, 10);
    if (*end != '\0' || value < 1) {
        fail(text, "must be a number of pixels");
    }
    return value;
}

static void read_numbers(const char *path, float *values)
{
    FILE *file = fopen(path, "r");
    char word[64];
    int count = 0;
    if (file == NULL) {
        fail(path, "cannot be opened");
    }
    for (; fscanf(file, "%63s", word) == 1; count++) {
        char *end;
        float value = strtof(word, &end);
        if (*end != '\0' || count == NUMBERS) {
            fail(path, *end != '\0' ? "must hold numbers, or nan" : "holds too many numbers");
        }
        values[count] = value;
    }
    fclose(file);
    if (count != ALONE && count != SHARED && count != NUMBERS) {
        fail(path, "must hold 5, 9 or 634 numbers");
    }
    for (; count >= SHARED && count < NUMBERS; count++) {
        values[count] = 0; /* no kernel: pixels share no noise */
    }
}

int main(int argc, char **argv)
{
    if (argc != 6 && argc != 7) {
        fail("usage", "fused_matched MODEL IMAGE RESULT HEIGHT WIDTH [NUMBERS]");
    }
    int64_t height = positive(argv[4]), width = positive(argv[5]);
    size_t pixels = (size_t)(height * width);
    float known[NUMBERS];
    for (int i = 0; i < NUMBERS; i++) {
        known[i] = NAN; /* which means: to be measured */
    }
    if (argc == 7) {
        read_numbers(argv[6], known);
    }

    ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (ort == NULL) {
        fail("ONNX Runtime", "the library is older than the header");
    }
    OrtEnv *env;
    OrtSessionOptions *options;
    OrtSession *session;
    OrtMemoryInfo *memory;
    check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "fused_matched", &env));
    check(ort->CreateSessionOptions(&options));
    check(ort->CreateSession(env, argv[1], options, &session));
    check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));

    float *image = read_floats(argv[2], pixels);
    float *data[INPUTS] = {image, known, known + 2, known + ALONE, known + SHARED};
    int64_t shapes[INPUTS][4] = {{1, 1, height, width}, {2}, {3}, {4}, {SIDE, SIDE}};
    size_t ranks[INPUTS] = {4, 1, 1, 1, 2}, counts[INPUTS] = {pixels, 2, 3, 4, SIDE * SIDE};
    OrtValue *values[INPUTS] = {NULL}, *denoised = NULL;
    for (size_t i = 0; i < INPUTS; i++) {
        check(ort->CreateTensorWithDataAsOrtValue(memory, data[i], counts[i] * sizeof(float), shapes[i],
                                                  ranks[i], ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &values[i]));
    }

    check(ort->Run(session, NULL, input_names, (const OrtValue *const *)values, INPUTS, output_names, 1,
                   &denoised));

    void *result;
    check(ort->GetTensorMutableData(denoised, &result));
    write_floats(argv[3], result, pixels);
    printf("%s: %lld x %lld pixels\n", argv[3], (long long)height, (long long)width);

    ort->ReleaseValue(denoised);
    for (size_t i = 0; i < INPUTS; i++) {
        ort->ReleaseValue(values[i]);
    }
    free(image);
    ort->ReleaseMemoryInfo(memory);
    ort->ReleaseSession(session);
    ort->ReleaseSessionOptions(options);
    ort->ReleaseEnv(env);
    return EXIT_SUCCESS;
}
