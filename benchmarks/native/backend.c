/* The app behind the proxies, for what nginx cannot do. One thread, epoll.
 *
 *   backend (--port PORT | --socket PATH)
 *
 *   /echo                        a websocket that sends back what it gets
 *   /sink                        takes a body of any length; answers how many bytes came
 *   /events?count=N&interval=MS  server-sent events: the time (ns, monotonic) at which each left
 *   /drip?count=N&interval=MS    the same as plain text, one byte at a time
 *   anything else                "ok"
 */

#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "sha1.h"
#include "websocket.h"

#define READ_SIZE ((size_t)256 << 10)
#define LONGEST_HEAD 65536

enum state { HEAD, BODY, STREAM, WEBSOCKET, CLOSING };

struct connection;

/* What epoll watches: a connection's socket or its timer. */
struct watch {
    int fd;
    struct connection *connection;
};

struct connection {
    struct watch socket, timer;
    enum state state;
    struct buffer in, out;
    uint64_t body_left, body_size;
    long events_left;
    bool drip, writing, close, dead;
    struct connection *next_dead;
};

static int poller;
static struct connection *the_dead;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* It is freed after the present round of events, which may still name it. */
static void drop(struct connection *c)
{
    if (c->dead)
        return;
    c->dead = true;
    close(c->socket.fd);
    if (c->timer.fd >= 0)
        close(c->timer.fd);
    c->next_dead = the_dead;
    the_dead = c;
}

static void bury(void)
{
    while (the_dead) {
        struct connection *c = the_dead;
        the_dead = c->next_dead;
        free(c->in.data);
        free(c->out.data);
        free(c);
    }
}

/* Read while nothing waits to be written: who does not take its echoes may not send more. */
static void watch_for(struct connection *c, bool writing)
{
    if (c->writing == writing)
        return;
    c->writing = writing;
    struct epoll_event event = {.events = writing ? EPOLLOUT : EPOLLIN, .data.ptr = &c->socket};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->socket.fd, &event);
}

/* Write what waits, as far as it goes. */
static void flush(struct connection *c)
{
    while (held(&c->out)) {
        ssize_t sent = send(c->socket.fd, c->out.data + c->out.start, held(&c->out), MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN)
                break;
            drop(c);
            return;
        }
        consume(&c->out, (size_t)sent);
    }
    if (!held(&c->out) && c->state == CLOSING) {
        drop(c);
        return;
    }
    watch_for(c, held(&c->out) > 0);
}

static void answer(struct connection *c, const char *status, const char *content)
{
    char head[256];
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        status, strlen(content));
    append(&c->out, head, (size_t)size);
    append(&c->out, content, strlen(content));
}

/* The value of header `name` of a head that ends with a zero; null if it is not there. */
static const char *header(const char *head, const char *name)
{
    size_t size = strlen(name);
    for (const char *line = head; (line = strstr(line, "\r\n")); ) {
        line += 2;
        if (!strncasecmp(line, name, size) && line[size] == ':') {
            line += size + 1;
            return line + strspn(line, " \t");
        }
    }
    return NULL;
}

static long parameter(const char *path, const char *name, long otherwise)
{
    const char *end = strchr(path, ' '), *found = strstr(path, name);
    return found && found < end && found[strlen(name)] == '=' ? atol(found + strlen(name) + 1)
                                                              : otherwise;
}

static void accept_websocket(struct connection *c, const char *key)
{
    char text[128], head[256];
    char accept[29];
    int size = snprintf(text, sizeof text, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
                        (int)strcspn(key, " \r"), key);
    if (size >= (int)sizeof text) {
        answer(c, "400 Bad Request", "{}");
        return;
    }
    sha1_base64(text, (size_t)size, accept);
    size = snprintf(head, sizeof head,
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                    accept);
    append(&c->out, head, (size_t)size);
    c->state = WEBSOCKET;
}

static void begin_stream(struct connection *c, const char *path)
{
    c->drip = !strncmp(path, "/drip", 5);
    c->events_left = parameter(path, "count", 10);
    long interval = parameter(path, "interval", 100);
    char head[256];
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nCache-Control: no-cache\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n",
                        c->drip ? "text/plain" : "text/event-stream");
    append(&c->out, head, (size_t)size);
    c->state = STREAM;
    c->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct timespec each = {interval / 1000, interval % 1000 * 1000000};
    struct itimerspec when = {.it_interval = each, .it_value = {0, 1}};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &c->timer};
    if (c->timer.fd < 0 || timerfd_settime(c->timer.fd, 0, &when, NULL) < 0 ||
        epoll_ctl(poller, EPOLL_CTL_ADD, c->timer.fd, &event) < 0)
        die("timerfd");
}

static void on_timer(struct connection *c)
{
    uint64_t ticks;
    if (read(c->timer.fd, &ticks, sizeof ticks) < 0)
        return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    char data[64] = ".", chunk[96];
    if (!c->drip)
        snprintf(data, sizeof data, "data: %lld\n\n",
                 (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    int size = snprintf(chunk, sizeof chunk, "%zx\r\n%s\r\n", strlen(data), data);
    append(&c->out, chunk, (size_t)size);
    if (--c->events_left <= 0) {
        append(&c->out, "0\r\n\r\n", 5);
        close(c->timer.fd);
        c->timer.fd = -1;
        c->state = c->close ? CLOSING : HEAD;
    }
    flush(c);
}

/* Handle the head at the beginning of what was read; false if it is not complete. */
static bool on_head(struct connection *c)
{
    char *head = (char *)c->in.data + c->in.start;
    char *end = memmem(head, held(&c->in), "\r\n\r\n", 4);
    if (!end) {
        if (held(&c->in) > LONGEST_HEAD)
            drop(c);
        return false;
    }
    end[2] = 0;
    const char *path = memchr(head, ' ', (size_t)(end - head));
    path = path ? path + 1 : head;
    const char *length = header(head, "Content-Length");
    const char *key = header(head, "Sec-WebSocket-Key");
    const char *connection = header(head, "Connection");
    c->close = connection && !strncasecmp(connection, "close", 5);
    c->body_size = c->body_left = length ? strtoull(length, NULL, 10) : 0;
    if (!strncmp(path, "/echo", 5) && key)
        accept_websocket(c, key);
    else if (header(head, "Transfer-Encoding"))
        answer(c, "411 Length Required", "{}"), c->state = CLOSING;
    else if (!strncmp(path, "/events", 7) || !strncmp(path, "/drip", 5))
        begin_stream(c, path);
    else
        c->state = BODY;
    consume(&c->in, (size_t)(end + 4 - head));
    return true;
}

static bool on_body(struct connection *c)
{
    size_t size = held(&c->in) < c->body_left ? held(&c->in) : c->body_left;
    consume(&c->in, size);
    c->body_left -= size;
    if (c->body_left)
        return false;
    char content[64];
    snprintf(content, sizeof content, "{\"received\": %llu}", (unsigned long long)c->body_size);
    answer(c, "200 OK", content);
    c->state = c->close ? CLOSING : HEAD;
    return true;
}

/* Handle the frame at the beginning of what was read; false if it is not complete. */
static bool on_frame(struct connection *c)
{
    struct frame frame;
    uint8_t *data = c->in.data + c->in.start;
    enum parsed parsed = parse_frame(data, held(&c->in), &frame);
    if (parsed == INCOMPLETE)
        return false;
    if (parsed == INVALID || !frame.masked) {
        drop(c);
        return false;
    }
    if (held(&c->in) < frame.header + frame.payload) {
        reserve(&c->in, frame.header + frame.payload - held(&c->in));
        return false;
    }
    if (frame.opcode != PONG) {
        uint8_t first = data[0], header[LONGEST_FRAME_HEADER];
        if (frame.opcode == PING)
            first = (uint8_t)(0x80 | PONG);
        apply_mask(data + frame.header, frame.payload, frame.mask);
        append(&c->out, header, write_frame_header(header, first, frame.payload, NULL));
        append(&c->out, data + frame.header, frame.payload);
    }
    if (frame.opcode == CLOSE)
        c->state = CLOSING;
    consume(&c->in, frame.header + frame.payload);
    return true;
}

static void on_readable(struct connection *c)
{
    reserve(&c->in, c->state == HEAD ? 4096 : READ_SIZE);
    ssize_t got = recv(c->socket.fd, c->in.data + c->in.end, c->in.size - c->in.end, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            drop(c);
        return;
    }
    c->in.end += (size_t)got;
    bool more = true;
    while (more && !c->dead) {
        switch (c->state) {
        case HEAD: more = held(&c->in) && on_head(c); break;
        case BODY: more = on_body(c); break;
        case WEBSOCKET: more = on_frame(c); break;
        case STREAM:
        case CLOSING: more = false; break;
        }
    }
    if (!c->dead)
        flush(c);
}

static void on_connect(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* fails on Unix sockets */
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        die("calloc");
    c->socket = (struct watch){fd, c};
    c->timer = (struct watch){-1, c};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &c->socket};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static int listen_at(const char *port, const char *path)
{
    struct sockaddr_in internet = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    int fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int failed;
    if (path) {
        strncpy(local.sun_path, path, sizeof local.sun_path - 1);
        failed = bind(fd, (struct sockaddr *)&local, sizeof local);
    } else {
        internet.sin_port = htons((uint16_t)atoi(port));
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
        failed = bind(fd, (struct sockaddr *)&internet, sizeof internet);
    }
    if (failed || listen(fd, 4096))
        die("listen");
    return fd;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'}, {"socket", required_argument, NULL, 's'}, {0}};
    const char *port = NULL, *path = NULL;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1; ) {
        switch (option) {
        case 'p': port = optarg; break;
        case 's': path = optarg; break;
        default: return 2;
        }
    }
    if (!port == !path) {
        fprintf(stderr, "usage: %s (--port PORT | --socket PATH)\n", argv[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct watch listener = {listen_at(port, path), NULL};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener}, events[64];
    if ((poller = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
        epoll_ctl(poller, EPOLL_CTL_ADD, listener.fd, &event) < 0)
        die("epoll");
    for (;;) {
        int count = epoll_wait(poller, events, 64, -1);
        for (int i = 0; i < count; i++) {
            struct watch *watch = events[i].data.ptr;
            struct connection *c = watch->connection;
            if (!c)
                on_connect(listener.fd);
            else if (c->dead)
                continue;
            else if (watch == &c->timer)
                on_timer(c);
            else if (c->writing)
                flush(c);
            else
                on_readable(c);
        }
        bury();
    }
}
