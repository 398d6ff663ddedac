/* Websockets that send binary messages and check each echo, byte for byte. One thread, epoll.
 *
 *   load --host H --port P --path PATH [--header "Name: value"]... [--connections N] [--size BYTES]
 *        [--seconds S] [--interval MS]    print how many echoes came, and after how long
 *   load … --hold                         open all, one echo each, and stay until stdin ends
 *
 * Without an interval each connection sends the next message when it has got the last one back.
 * With one, each sends at these times, whatever has come back: what is held up is seen as late.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "websocket.h"

#define SMALLEST 16
#define READ_SIZE ((size_t)256 << 10)
#define LONGEST_HEAD 65536
#define STRAGGLERS_SECONDS 5
#define SILENCE_SECONDS 20
/* RFC 6455, section 1.3 */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

struct connection {
    int fd;
    bool writing;
    uint8_t mask[4];
    uint64_t last; /* when the message of the latest echo was sent */
    unsigned outstanding;
    uint8_t *out; /* waits to be written */
    size_t out_start, out_end, out_size;
    uint8_t *in;
    size_t in_start, in_end, in_size;
};

static const char *host = "127.0.0.1", *port, *path = "/";
static char headers[32768];
static long connections = 1;
static size_t message_size = 64;
static double seconds = 1, interval;
static bool hold;

static int poller;
static bool sending;
static uint8_t *content; /* what each message is, but for the time at its beginning */
static uint32_t *latencies; /* in 100 ns */
static size_t echoes, room;
static unsigned long outstanding;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void fail(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void *grown(void *data, size_t size)
{
    if (!(data = realloc(data, size)))
        die("realloc");
    return data;
}

static void flush(struct connection *c)
{
    while (c->out_start < c->out_end) {
        ssize_t sent = send(c->fd, c->out + c->out_start, c->out_end - c->out_start, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0)
            die("send");
        c->out_start += (size_t)sent;
    }
    if (c->out_start == c->out_end)
        c->out_start = c->out_end = 0;
    bool writing = c->out_end > 0;
    if (writing != c->writing) {
        c->writing = writing;
        struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
    }
}

/* Queue one masked frame: `start` bytes of its own, then the common content. */
static void send_frame(struct connection *c, uint8_t opcode, const void *start, size_t start_size,
                       size_t size)
{
    size_t most = LONGEST_FRAME_HEADER + size;
    if (c->out_size < c->out_end + most) {
        c->out_size = c->out_end + most;
        c->out = grown(c->out, c->out_size);
    }
    uint8_t *to = c->out + c->out_end;
    size_t header = write_frame_header(to, 0x80 | opcode, size, c->mask);
    memcpy(to + header, start, start_size);
    memcpy(to + header + start_size, content + start_size, size - start_size);
    apply_mask(to + header, size, c->mask);
    c->out_end += header + size;
    flush(c);
}

static void send_message(struct connection *c)
{
    uint64_t time = now();
    c->outstanding++;
    outstanding++;
    send_frame(c, BINARY, &time, sizeof time, message_size);
}

static void on_echo(struct connection *c, const uint8_t *data, uint64_t size)
{
    uint64_t sent, time = now();
    if (size != message_size || memcmp(data + 8, content + 8, size - 8))
        fail("an echo is not what was sent");
    memcpy(&sent, data, 8);
    if (sent <= c->last || sent > time || !c->outstanding)
        fail("an echo is out of order");
    c->last = sent;
    c->outstanding--;
    outstanding--;
    if (echoes == room) {
        room = room ? 2 * room : 65536;
        latencies = grown(latencies, room * sizeof *latencies);
    }
    latencies[echoes++] = (uint32_t)((time - sent) / 100);
    if (sending && !interval)
        send_message(c);
}

static void on_readable(struct connection *c)
{
    if (c->in_size - c->in_end < READ_SIZE / 4) {
        memmove(c->in, c->in + c->in_start, c->in_end - c->in_start);
        c->in_end -= c->in_start;
        c->in_start = 0;
        /* Those that are only held open share the machine's memory with what is measured. */
        size_t size = hold ? 4096 : READ_SIZE + message_size;
        if (c->in_size < c->in_end + size)
            c->in = grown(c->in, c->in_size = c->in_end + size);
    }
    ssize_t got = recv(c->fd, c->in + c->in_end, c->in_size - c->in_end, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got < 0)
        die("recv");
    if (got == 0)
        fail("a connection was closed");
    c->in_end += (size_t)got;
    struct frame frame;
    for (;;) {
        uint8_t *data = c->in + c->in_start;
        enum parsed parsed = parse_frame(data, c->in_end - c->in_start, &frame);
        if (parsed == INVALID || (parsed == COMPLETE && frame.masked))
            fail("a frame is invalid");
        if (parsed == INCOMPLETE || c->in_end - c->in_start < frame.header + frame.payload)
            break;
        c->in_start += frame.header + frame.payload;
        if (frame.opcode == BINARY && frame.fin)
            on_echo(c, data + frame.header, frame.payload);
        else if (frame.opcode == PING)
            send_frame(c, PONG, data + frame.header, frame.payload, frame.payload);
        else if (frame.opcode != PONG)
            fail("a frame is neither a binary message nor a ping");
    }
    if (c->in_start == c->in_end)
        c->in_start = c->in_end = 0;
}

/* Open one connection; null with the reason in `problem`. */
static bool open_connection(struct connection *c, char *problem, size_t problem_size)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, port, &hints, &found))
        fail("the host is not known");
    struct timeval timeout = {SILENCE_SECONDS, 0};
    c->fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    int failed = c->fd < 0 || connect(c->fd, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (failed) {
        snprintf(problem, problem_size, "connect: %s", strerror(errno));
        return false;
    }
    static char head[LONGEST_HEAD];
    int size = snprintf(head, sizeof head,
                        "GET %s HTTP/1.1\r\nHost: %s:%s\r\nOrigin: http://%s:%s\r\n"
                        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n%s\r\n",
                        path, host, port, host, port, headers);
    if (send(c->fd, head, (size_t)size, MSG_NOSIGNAL) != size)
        die("send");
    size_t got = 0;
    for (head[0] = 0; !strstr(head, "\r\n\r\n"); head[got] = 0) {
        ssize_t more = got + 1 < sizeof head ? recv(c->fd, head + got, sizeof head - 1 - got, 0) : 0;
        if (more <= 0) {
            snprintf(problem, problem_size, "no answer to a handshake");
            return false;
        }
        got += (size_t)more;
    }
    if (strncmp(head, "HTTP/1.1 101 ", 13) || !strstr(head, ACCEPT)) {
        snprintf(problem, problem_size, "a handshake was answered: %.*s", (int)strcspn(head, "\r"),
                 head);
        return false;
    }
    if (getrandom(c->mask, 4, 0) != 4 || fcntl(c->fd, F_SETFL, O_NONBLOCK))
        die("a new connection");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event))
        die("epoll_ctl");
    return true;
}

/* Handle what comes until the time `end`, or until `until` is reached if that is not null. */
static void run(struct connection *all, uint64_t end, int timer, const unsigned long *until)
{
    struct epoll_event events[64];
    for (uint64_t time; (time = now()) < end && !(until && *until == 0); ) {
        int count = epoll_wait(poller, events, 64, (int)((end - time) / 1000000 + 1));
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c) {
                uint64_t ticks;
                if (read(timer, &ticks, sizeof ticks) > 0 && sending)
                    for (long j = 0; j < connections; j++)
                        send_message(all + j);
                continue;
            }
            if (events[i].events & EPOLLOUT)
                flush(c);
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                on_readable(c);
        }
    }
}

static int ascending(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static double percentile(double share)
{
    return echoes ? latencies[(size_t)(share * (double)(echoes - 1) + 0.5)] / 10.0 : 0;
}

static void measure(struct connection *all)
{
    int timer = -1;
    sending = true;
    uint64_t began = now();
    if (interval > 0) {
        struct timespec each = {(time_t)(interval / 1000),
                                (long)((interval - (double)(long)(interval / 1000) * 1000) * 1e6)};
        struct itimerspec when = {.it_interval = each, .it_value = each};
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
        timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (timer < 0 || timerfd_settime(timer, 0, &when, NULL) ||
            epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event))
            die("timerfd");
    } else {
        for (long i = 0; i < connections; i++)
            send_message(all + i);
    }
    run(all, began + (uint64_t)(seconds * 1e9), timer, NULL);
    size_t in_time = echoes;
    double took = (double)(now() - began) / 1e9;
    sending = false;
    run(all, now() + STRAGGLERS_SECONDS * 1000000000ull, timer, &outstanding);
    qsort(latencies, echoes, sizeof *latencies, ascending);
    printf("{\"connections\": %ld, \"messages\": %zu, \"bytes\": %zu, \"seconds\": %.6f, "
           "\"per_second\": %.1f, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, "
           "\"max_us\": %.1f, \"unanswered\": %lu}\n",
           connections, in_time, in_time * message_size, took, (double)in_time / took,
           percentile(0.5), percentile(0.9), percentile(0.99), percentile(1), outstanding);
}

static void stay(struct connection *all, long opened, const char *problem)
{
    for (long i = 0; i < opened; i++)
        send_message(all + i);
    run(all, now() + SILENCE_SECONDS * 1000000000ull, -1, &outstanding);
    printf("{\"opened\": %ld, \"answered\": %zu, \"problem\": \"%s\"}\n", opened, echoes, problem);
    fflush(stdout);
    char ignored;
    while (read(STDIN_FILENO, &ignored, 1) > 0)
        ;
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"host", required_argument, NULL, 'h'},     {"port", required_argument, NULL, 'p'},
        {"path", required_argument, NULL, 'u'},     {"header", required_argument, NULL, 'H'},
        {"size", required_argument, NULL, 'b'},     {"connections", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 's'},  {"interval", required_argument, NULL, 'i'},
        {"hold", no_argument, NULL, 'o'},           {0}};
    size_t used = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1; ) {
        switch (option) {
        case 'h': host = optarg; break;
        case 'p': port = optarg; break;
        case 'u': path = optarg; break;
        case 'b': message_size = strtoull(optarg, NULL, 10); break;
        case 'c': connections = atol(optarg); break;
        case 's': seconds = atof(optarg); break;
        case 'i': interval = atof(optarg); break;
        case 'o': hold = true; break;
        case 'H':
            used += (size_t)snprintf(headers + used, sizeof headers - used, "%s\r\n", optarg);
            if (used >= sizeof headers)
                fail("the headers are too long");
            break;
        default: exit(2);
        }
    }
    if (!port || connections < 1 || message_size < SMALLEST || seconds <= 0) {
        fprintf(stderr, "usage: see the beginning of load.c\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    content = grown(NULL, message_size < 128 ? 128 : message_size);
    for (size_t i = 0; i < message_size; i++)
        content[i] = (uint8_t)(i * 31 + i / 251);
    if ((poller = epoll_create1(EPOLL_CLOEXEC)) < 0)
        die("epoll_create1");
    struct connection *all = calloc((size_t)connections, sizeof *all);
    if (!all)
        die("calloc");
    char problem[256] = "";
    long opened = 0;
    while (opened < connections && open_connection(all + opened, problem, sizeof problem))
        opened++;
    if (hold)
        stay(all, opened, problem);
    else if (opened == connections)
        measure(all);
    else
        fail(problem);
    return 0;
}
