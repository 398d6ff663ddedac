/* Bytes that are appended at the end and taken from the start. */

#ifndef BENCHMARK_BUFFER_H
#define BENCHMARK_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct buffer {
    uint8_t *data;
    size_t start, end, size;
};

static size_t held(const struct buffer *buffer) { return buffer->end - buffer->start; }

/* Make room for `more` bytes at the end. */
static void reserve(struct buffer *buffer, size_t more)
{
    if (buffer->size - buffer->end >= more)
        return;
    if (buffer->start) {
        memmove(buffer->data, buffer->data + buffer->start, held(buffer));
        buffer->end -= buffer->start;
        buffer->start = 0;
    }
    if (buffer->size - buffer->end < more) {
        buffer->size = buffer->end + more;
        if (!(buffer->data = realloc(buffer->data, buffer->size)))
            abort();
    }
}

static void append(struct buffer *buffer, const void *data, size_t size)
{
    reserve(buffer, size);
    memcpy(buffer->data + buffer->end, data, size);
    buffer->end += size;
}

static void consume(struct buffer *buffer, size_t size)
{
    buffer->start += size;
    if (buffer->start == buffer->end)
        buffer->start = buffer->end = 0;
}

#endif
