// Denoise frames with baikal-serve through shared memory, on Linux: pixels are not sent, only where they are.
// See docs/embedding.md.
//
//   c++ -O2 -std=c++17 shared.cpp -o shared
//   ./shared 127.0.0.1 8000 general frames.raw results.raw COUNT HEIGHT WIDTH
//
// frames.raw holds COUNT x HEIGHT x WIDTH pixels of uint16, as results.raw will. One connection is kept for all.
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>

// POSIX shared memory for a frame and its result; removed at the end.
class SharedMemory {
public:
    explicit SharedMemory(size_t size) : name_("/baikal-" + std::to_string(getpid())), size_(size)
    {
        const int file = shm_open(name_.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
        if (file < 0 || ftruncate(file, static_cast<off_t>(size)) != 0)
            throw std::runtime_error("shared memory: cannot be made");
        bytes_ = static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
        close(file);
        if (bytes_ == MAP_FAILED) throw std::runtime_error("shared memory: cannot be mapped");
    }
    ~SharedMemory()
    {
        munmap(bytes_, size_);
        shm_unlink(name_.c_str());
    }
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;

    const std::string& name() const { return name_; }
    char* bytes() { return bytes_; }

private:
    std::string name_;
    size_t size_;
    char* bytes_;
};

// One connection to the server.
class Client {
public:
    Client(const std::string& host, const std::string& port) : host_(host)
    {
        addrinfo hints{}, *found;
        hints.ai_socktype = SOCK_STREAM;
        if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0)
            throw std::runtime_error(host + ": is no address");
        for (const addrinfo* one = found; one != nullptr && server_ < 0; one = one->ai_next) {
            server_ = socket(one->ai_family, one->ai_socktype, one->ai_protocol);
            if (server_ < 0 || connect(server_, one->ai_addr, one->ai_addrlen) == 0) continue;
            close(server_);
            server_ = -1;
        }
        freeaddrinfo(found);
        if (server_ < 0) throw std::runtime_error(host + ": no server answers; start baikal-serve");
        const int yes = 1;
        setsockopt(server_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if (const char* token = std::getenv("BAIKAL_SERVE_TOKEN"))
            authorization_ = std::string("Authorization: Bearer ") + token + "\r\n";
    }
    ~Client() { close(server_); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    // POST of JSON; throws what the server says is wrong.
    void post(const std::string& path, const std::string& json)
    {
        const std::string text = "POST " + path + " HTTP/1.1\r\nHost: " + host_ + "\r\n" + authorization_ +
                                 "Content-Length: " + std::to_string(json.size()) + "\r\n\r\n" + json;
        if (send(server_, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size()))
            throw std::runtime_error("server: hung up");
        std::string answer;
        size_t head, length = 0;
        while ((head = answer.find("\r\n\r\n")) == std::string::npos) more(answer);
        const size_t at = answer.find("\r\ncontent-length: ");
        if (at < head) length = std::stoul(answer.substr(at + 18));
        while (answer.size() < head + 4 + length) more(answer);
        if (answer.compare(0, 13, "HTTP/1.1 200 ") != 0)
            throw std::runtime_error("server: " + answer.substr(head + 4)); // after 503 it may be sent again
    }

private:
    void more(std::string& answer)
    {
        char piece[4096];
        const ssize_t got = recv(server_, piece, sizeof piece, 0);
        if (got <= 0) throw std::runtime_error("server: hung up");
        answer.append(piece, static_cast<size_t>(got));
    }

    std::string host_, authorization_;
    int server_ = -1;
};

static void denoise(char** arguments)
{
    const unsigned long count = std::stoul(arguments[6]);
    const std::string height = arguments[7], width = arguments[8], model = arguments[3];
    const size_t size = std::stoul(height) * std::stoul(width) * sizeof(uint16_t);
    std::ifstream frames(arguments[4], std::ios::binary);
    std::ofstream results(arguments[5], std::ios::binary);

    SharedMemory memory(2 * size); // the frame, and behind it the result
    Client client(arguments[1], arguments[2]);
    const std::string region = memory.name().substr(1), bytes = std::to_string(size);
    const std::string shared = "/v2/systemsharedmemory/region/" + region;
    client.post(shared + "/register",
                "{\"key\": \"" + memory.name() + "\", \"byte_size\": " + std::to_string(2 * size) + "}");
    const std::string place =
        "\"shared_memory_region\": \"" + region + "\", \"shared_memory_byte_size\": " + bytes;
    const std::string request =
        "{\"inputs\": [{\"name\": \"frame\", \"datatype\": \"UINT16\", \"shape\": [" + height + ", " + width +
        "], \"parameters\": {" + place + "}}], \"outputs\": [{\"name\": \"denoised\", \"parameters\": {" + place +
        ", \"shared_memory_offset\": " + bytes + "}}]}";
    for (unsigned long number = 0; number < count; number++) {
        if (!frames.read(memory.bytes(), static_cast<std::streamsize>(size)))
            throw std::runtime_error(std::string(arguments[4]) + ": has fewer frames");
        client.post("/v2/models/" + model + "/infer", request);
        results.write(memory.bytes() + size, static_cast<std::streamsize>(size));
    }
    client.post(shared + "/unregister", "");
    if (!results.flush()) throw std::runtime_error(std::string(arguments[5]) + ": cannot be written");
    std::cout << arguments[5] << ": " << count << " frames\n";
}

int main(int argc, char** argv)
{
    if (argc != 9) {
        std::cerr << "shared: usage: shared HOST PORT MODEL FRAMES RESULTS COUNT HEIGHT WIDTH\n";
        return EXIT_FAILURE;
    }
    try {
        denoise(argv);
        return EXIT_SUCCESS;
    } catch (const std::exception& error) {
        std::cerr << "shared: " << error.what() << "\n";
        return EXIT_FAILURE;
    }
}
