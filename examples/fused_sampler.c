/* Denoise one plane with a fused sampler: one call of ONNX Runtime's C API. See docs/fused.md.
 *
 *   cc -O2 fused_sampler.c -I ORT/include -L ORT/lib -lonnxruntime -lm -o fused_sampler
 *   ./fused_sampler model-repaint.onnx plane.raw result.raw HEIGHT WIDTH LOW HIGH SIGMA [noise.raw]
 *
 * plane.raw holds HEIGHT x WIDTH float32 pixels in raw camera units. LOW, HIGH and SIGMA are what
 * baikal-run --dry-run prints as intensities and noise. Without noise.raw the noise is drawn here.
 * (On Windows, CreateSession takes the path as wchar_t.)
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <onnxruntime_c_api.h>

enum { IMAGE, NOISE, INTENSITY, SIGMA, INPUTS };
static const char *const input_names[INPUTS] = {"image", "noise", "intensity", "sigma"};
static const char *const output_names[1] = {"denoised"};

static const OrtApi *ort;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "fused_sampler: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void check(OrtStatus *status)
{
    if (status != NULL) {
        fail("ONNX Runtime", ort->GetErrorMessage(status));
    }
}

static float *allocate(size_t count)
{
    float *values = malloc(count * sizeof *values);
    if (values == NULL) {
        fail("memory", "there is not enough for the noise; cut the image into smaller planes");
    }
    return values;
}

static float *read_floats(const char *path, size_t count)
{
    float *values = allocate(count);
    FILE *file = fopen(path, "rb");
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

/* A uniform number in (0, 1]: SplitMix64 (Steele et al. 2014). */
static double uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)((z >> 11) + 1) / 9007199254740992.0;
}

/* Standard normal numbers: Box and Muller 1958. */
static float *draw_noise(size_t count, uint64_t seed)
{
    const double two_pi = 2 * acos(-1.0);
    float *values = allocate(count);
    for (size_t i = 0; i < count; i += 2) {
        double radius = sqrt(-2 * log(uniform(&seed))), angle = two_pi * uniform(&seed);
        values[i] = (float)(radius * cos(angle));
        if (i + 1 < count) {
            values[i + 1] = (float)(radius * sin(angle));
        }
    }
    return values;
}

/* How many planes of noise the sampler takes: the first dimension of its second input. */
static int64_t noise_planes(const OrtSession *session)
{
    OrtTypeInfo *type;
    const OrtTensorTypeAndShapeInfo *tensor;
    int64_t shape[5];
    check(ort->SessionGetInputTypeInfo(session, NOISE, &type));
    check(ort->CastTypeInfoToTensorInfo(type, &tensor));
    check(ort->GetDimensions(tensor, shape, 5));
    ort->ReleaseTypeInfo(type);
    return shape[0];
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

static float number(const char *text)
{
    char *end;
    float value = strtof(text, &end);
    if (end == text || *end != '\0') {
        fail(text, "must be a number");
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc != 9 && argc != 10) {
        fail("usage", "fused_sampler MODEL IMAGE RESULT HEIGHT WIDTH LOW HIGH SIGMA [NOISE]");
    }
    int64_t height = positive(argv[4]), width = positive(argv[5]);
    float intensity[2] = {number(argv[6]), number(argv[7])}, sigma = number(argv[8]);
    size_t pixels = (size_t)(height * width);

    ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (ort == NULL) {
        fail("ONNX Runtime", "the library is older than the header");
    }
    OrtEnv *env;
    OrtSessionOptions *options;
    OrtSession *session;
    OrtMemoryInfo *memory;
    check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "fused_sampler", &env));
    check(ort->CreateSessionOptions(&options));
    check(ort->CreateSession(env, argv[1], options, &session));
    check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));

    size_t inputs; /* 3 if nothing in the sampler depends on sigma */
    check(ort->SessionGetInputCount(session, &inputs));
    int64_t planes = noise_planes(session);
    size_t counts[INPUTS] = {pixels, (size_t)planes * pixels, 2, 1};
    float *image = read_floats(argv[2], counts[IMAGE]);
    float *noise = argc == 10 ? read_floats(argv[9], counts[NOISE]) : draw_noise(counts[NOISE], 1);

    float *data[INPUTS] = {image, noise, intensity, &sigma};
    int64_t shapes[INPUTS][5] = {{1, 1, height, width}, {planes, 1, 1, height, width}, {2}, {0}};
    size_t ranks[INPUTS] = {4, 5, 1, 0};
    OrtValue *values[INPUTS] = {NULL}, *denoised = NULL;
    for (size_t i = 0; i < inputs; i++) {
        check(ort->CreateTensorWithDataAsOrtValue(memory, data[i], counts[i] * sizeof(float), shapes[i],
                                                  ranks[i], ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &values[i]));
    }

    check(ort->Run(session, NULL, input_names, (const OrtValue *const *)values, inputs, output_names, 1,
                   &denoised));

    void *result;
    check(ort->GetTensorMutableData(denoised, &result));
    write_floats(argv[3], result, pixels);
    printf("%s: %lld x %lld pixels, %lld planes of noise\n", argv[3], (long long)height, (long long)width,
           (long long)planes);

    ort->ReleaseValue(denoised);
    for (size_t i = 0; i < inputs; i++) {
        ort->ReleaseValue(values[i]);
    }
    free(noise);
    free(image);
    ort->ReleaseMemoryInfo(memory);
    ort->ReleaseSession(session);
    ort->ReleaseSessionOptions(options);
    ort->ReleaseEnv(env);
    return EXIT_SUCCESS;
}
