/* Denoise one frame with baikal-serve, over plain sockets: no library is needed. See docs/embedding.md.
 *
 *   cc -O2 denoise.c -o denoise
 *   ./denoise 127.0.0.1 8000 general frame.raw result.raw HEIGHT WIDTH
 *
 * frame.raw holds HEIGHT x WIDTH pixels of uint16, as result.raw will. A token, if the server wants one, is
 * taken from the environment's BAIKAL_SERVE_TOKEN.
 */
#define _POSIX_C_SOURCE 200809L
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "denoise: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static char *allocate(size_t size)
{
    char *bytes = malloc(size);
    if (bytes == NULL) {
        fail("memory", "there is not enough");
    }
    return bytes;
}

static void read_file(const char *path, char *bytes, size_t size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail(path, "cannot be opened");
    }
    if (fread(bytes, 1, size, file) != size || fgetc(file) != EOF) {
        fail(path, "is not of the size that HEIGHT x WIDTH pixels of uint16 have");
    }
    fclose(file);
}

static void write_file(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        fail(path, "cannot be written");
    }
}

static int connect_to(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, port, &hints, &found) != 0) {
        fail(host, "is no address");
    }
    for (const struct addrinfo *one = found; one != NULL; one = one->ai_next) {
        int server = socket(one->ai_family, one->ai_socktype, one->ai_protocol);
        if (server >= 0 && connect(server, one->ai_addr, one->ai_addrlen) == 0) {
            freeaddrinfo(found);
            return server;
        }
        if (server >= 0) {
            close(server);
        }
    }
    fail(host, "no server answers; start baikal-serve");
    return -1;
}

static void send_all(int server, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(server, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* the server has hung up: its answer says why */
        }
        bytes += sent;
        size -= (size_t)sent;
    }
}

/* All that the server sends until it hangs up, with a 0 behind it. */
static char *receive_all(int server, size_t *size)
{
    size_t room = 1 << 16;
    char *bytes = allocate(room + 1);
    for (*size = 0;;) {
        ssize_t got = recv(server, bytes + *size, room - *size, 0);
        if (got <= 0) {
            bytes[*size] = '\0';
            return bytes;
        }
        *size += (size_t)got;
        if (*size == room) {
            room *= 2;
            bytes = realloc(bytes, room + 1);
            if (bytes == NULL) {
                fail("memory", "there is not enough");
            }
        }
    }
}

static void send_frame(int server, const char *host, const char *model, const char *frame, long height,
                       long width, size_t size)
{
    const char *token = getenv("BAIKAL_SERVE_TOKEN");
    char json[512], head[1024], authorization[512] = "";
    int json_size = snprintf(json, sizeof json,
                             "{\"inputs\": [{\"name\": \"frame\", \"datatype\": \"UINT16\", \"shape\": [%ld, %ld], "
                             "\"parameters\": {\"binary_data_size\": %zu}}], "
                             "\"parameters\": {\"binary_data_output\": true}}",
                             height, width, size);
    if (token != NULL) {
        snprintf(authorization, sizeof authorization, "Authorization: Bearer %s\r\n", token);
    }
    int head_size = snprintf(head, sizeof head,
                             "POST /v2/models/%s/infer HTTP/1.1\r\n"
                             "Host: %s\r\n"
                             "Connection: close\r\n"
                             "%s"
                             "Content-Length: %zu\r\n"
                             "Inference-Header-Content-Length: %d\r\n\r\n",
                             model, host, authorization, (size_t)json_size + size, json_size);
    if (head_size < 0 || (size_t)head_size >= sizeof head) {
        fail("arguments", "are too long");
    }
    send_all(server, head, (size_t)head_size);
    send_all(server, json, (size_t)json_size);
    send_all(server, frame, size);
}

/* The pixels in the answer: a status line, headers, JSON, and then they. */
static const char *pixels_of(const char *answer, size_t answer_size, size_t size)
{
    static const char length[] = "\r\ninference-header-content-length: ";
    const char *body = strstr(answer, "\r\n\r\n"), *json_size = strstr(answer, length);
    if (body == NULL) {
        fail("server", "hung up without an answer");
    }
    body += 4;
    if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0) {
        fail("server", body); /* {"error": ...}; after 503 the frame may be sent again */
    }
    if (json_size == NULL || json_size > body) {
        fail("server", "sent no pixels");
    }
    const char *pixels = body + strtoul(json_size + sizeof length - 1, NULL, 10);
    if (pixels + size != answer + answer_size) {
        fail("server", "hung up in the middle of the answer");
    }
    return pixels;
}

static long positive(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end != '\0' || value < 1 || value > 1 << 20) {
        fail(text, "must be a number of pixels");
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fail("usage", "denoise HOST PORT MODEL FRAME RESULT HEIGHT WIDTH");
    }
    long height = positive(argv[6]), width = positive(argv[7]);
    size_t size = (size_t)height * (size_t)width * sizeof(uint16_t), answer_size;
    char *frame = allocate(size);
    read_file(argv[4], frame, size);

    int server = connect_to(argv[1], argv[2]);
    send_frame(server, argv[1], argv[3], frame, height, width, size);
    char *answer = receive_all(server, &answer_size);
    close(server);

    write_file(argv[5], pixels_of(answer, answer_size, size), size);
    printf("%s: %ld x %ld pixels\n", argv[5], height, width);
    free(answer);
    free(frame);
    return EXIT_SUCCESS;
}
