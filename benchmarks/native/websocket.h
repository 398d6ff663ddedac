/* What both ends of a websocket share (RFC 6455): frames and masks. */

#ifndef BENCHMARK_WEBSOCKET_H
#define BENCHMARK_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

#define LONGEST_FRAME_HEADER 14
#define LONGEST_PAYLOAD ((uint64_t)64 << 20)

struct frame {
    bool fin;
    bool masked;
    uint8_t opcode;
    uint8_t mask[4];
    size_t header; /* bytes before the payload */
    uint64_t payload;
};

enum parsed { INCOMPLETE, COMPLETE, INVALID };

/* Read the header of the frame that begins at `data`. */
static enum parsed parse_frame(const uint8_t *data, size_t size, struct frame *frame)
{
    if (size < 2)
        return INCOMPLETE;
    frame->fin = data[0] & 0x80;
    frame->opcode = data[0] & 0x0f;
    frame->masked = data[1] & 0x80;
    frame->payload = data[1] & 0x7f;
    frame->header = 2;
    if (data[0] & 0x70)
        return INVALID; /* an extension that nobody asked for */
    size_t more = frame->payload == 126 ? 2 : frame->payload == 127 ? 8 : 0;
    if (size < 2 + more + (frame->masked ? 4 : 0))
        return INCOMPLETE;
    if (more) {
        frame->payload = 0;
        for (size_t i = 0; i < more; i++)
            frame->payload = frame->payload << 8 | data[2 + i];
        frame->header += more;
    }
    if (frame->masked) {
        memcpy(frame->mask, data + frame->header, 4);
        frame->header += 4;
    }
    return frame->payload > LONGEST_PAYLOAD ? INVALID : COMPLETE;
}

/* Write a frame's header; `mask` is null for a server. Returns its size. */
static size_t write_frame_header(uint8_t *to, uint8_t first, uint64_t payload, const uint8_t *mask)
{
    size_t size = 2;
    to[0] = first;
    if (payload < 126) {
        to[1] = (uint8_t)payload;
    } else {
        size_t more = payload < 65536 ? 2 : 8;
        to[1] = more == 2 ? 126 : 127;
        for (size_t i = 0; i < more; i++)
            to[2 + i] = (uint8_t)(payload >> 8 * (more - 1 - i));
        size += more;
    }
    if (mask) {
        to[1] |= 0x80;
        memcpy(to + size, mask, 4);
        size += 4;
    }
    return size;
}

/* Mask or unmask in place; `data` is at the payload's beginning. */
static void apply_mask(uint8_t *data, size_t size, const uint8_t mask[4])
{
    uint64_t wide, word;
    memcpy(&wide, mask, 4);
    memcpy((uint8_t *)&wide + 4, mask, 4);
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        memcpy(&word, data + i, 8);
        word ^= wide;
        memcpy(data + i, &word, 8);
    }
    for (; i < size; i++)
        data[i] ^= mask[i & 3];
}

#endif
