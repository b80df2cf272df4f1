/* As much of ONNX Runtime's C API as examples/fused_sampler.c uses.
 *
 * A stand-in, for the test alone: the Python package of ONNX Runtime ships the library and not its
 * header. The API is a struct of function pointers whose order never changes; what is not used is
 * left out by its number of places, and SLOT checks the place of what is. That the places are right
 * shows when the example runs.
 */
#ifndef ONNXRUNTIME_C_API_H
#define ONNXRUNTIME_C_API_H

#include <stddef.h>
#include <stdint.h>

#define ORT_API_VERSION 17

typedef struct OrtEnv OrtEnv;
typedef struct OrtStatus OrtStatus;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtValue OrtValue;
typedef struct OrtTypeInfo OrtTypeInfo;
typedef struct OrtTensorTypeAndShapeInfo OrtTensorTypeAndShapeInfo;

typedef enum { ORT_LOGGING_LEVEL_WARNING = 2 } OrtLoggingLevel;
typedef enum { ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1 } ONNXTensorElementDataType;
typedef enum { OrtArenaAllocator = 1 } OrtAllocatorType;
typedef enum { OrtMemTypeDefault = 0 } OrtMemType;

typedef struct OrtApi {
    void *slots_0[2];
    const char *(*GetErrorMessage)(const OrtStatus *);
    OrtStatus *(*CreateEnv)(OrtLoggingLevel, const char *, OrtEnv **);
    void *slots_4[3];
    OrtStatus *(*CreateSession)(const OrtEnv *, const char *, const OrtSessionOptions *, OrtSession **);
    void *slots_8[1];
    OrtStatus *(*Run)(OrtSession *, const OrtRunOptions *, const char *const *, const OrtValue *const *,
                      size_t, const char *const *, size_t, OrtValue **);
    OrtStatus *(*CreateSessionOptions)(OrtSessionOptions **);
    void *slots_11[19];
    OrtStatus *(*SessionGetInputCount)(const OrtSession *, size_t *);
    void *slots_31[2];
    OrtStatus *(*SessionGetInputTypeInfo)(const OrtSession *, size_t, OrtTypeInfo **);
    void *slots_34[15];
    OrtStatus *(*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo *, void *, size_t, const int64_t *,
                                                 size_t, ONNXTensorElementDataType, OrtValue **);
    void *slots_50[1];
    OrtStatus *(*GetTensorMutableData)(OrtValue *, void **);
    void *slots_52[3];
    OrtStatus *(*CastTypeInfoToTensorInfo)(const OrtTypeInfo *, const OrtTensorTypeAndShapeInfo **);
    void *slots_56[6];
    OrtStatus *(*GetDimensions)(const OrtTensorTypeAndShapeInfo *, int64_t *, size_t);
    void *slots_63[6];
    OrtStatus *(*CreateCpuMemoryInfo)(OrtAllocatorType, OrtMemType, OrtMemoryInfo **);
    void *slots_70[22];
    void (*ReleaseEnv)(OrtEnv *);
    void *slots_93[1];
    void (*ReleaseMemoryInfo)(OrtMemoryInfo *);
    void (*ReleaseSession)(OrtSession *);
    void (*ReleaseValue)(OrtValue *);
    void *slots_97[1];
    void (*ReleaseTypeInfo)(OrtTypeInfo *);
    void *slots_99[1];
    void (*ReleaseSessionOptions)(OrtSessionOptions *);
} OrtApi;

#define SLOT(name, place) \
    _Static_assert(offsetof(OrtApi, name) == (place) * sizeof(void *), #name " is in another place")
SLOT(GetErrorMessage, 2);
SLOT(CreateSession, 7);
SLOT(Run, 9);
SLOT(SessionGetInputCount, 30);
SLOT(SessionGetInputTypeInfo, 33);
SLOT(CreateTensorWithDataAsOrtValue, 49);
SLOT(GetTensorMutableData, 51);
SLOT(CastTypeInfoToTensorInfo, 55);
SLOT(GetDimensions, 62);
SLOT(CreateCpuMemoryInfo, 69);
SLOT(ReleaseEnv, 92);
SLOT(ReleaseMemoryInfo, 94);
SLOT(ReleaseTypeInfo, 98);
SLOT(ReleaseSessionOptions, 100);

typedef struct OrtApiBase {
    const OrtApi *(*GetApi)(uint32_t version);
    const char *(*GetVersionString)(void);
} OrtApiBase;

const OrtApiBase *OrtGetApiBase(void);

#endif
