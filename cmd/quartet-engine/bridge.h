#ifndef QUARTET_BRIDGE_H
#define QUARTET_BRIDGE_H

#include <gst/gst.h>
#include <stdint.h>

/* A mailbox between streaming threads and the one that decides: bounded, the
 * oldest letter is dropped when it is full. */
typedef struct quartet_mail quartet_mail;

typedef struct {
	int kind;   /* QUARTET_VIDEO or QUARTET_AUDIO */
	int source; /* which capture it is of */
	int64_t at; /* CLOCK_MONOTONIC of capture, ns */
	int rate_num, rate_den; /* frame rate of its caps; 0: none said */
	GstBuffer *buffer; /* the reader's to unref */
} quartet_letter;

enum {
	QUARTET_VIDEO = 1,
	QUARTET_AUDIO,
};

quartet_mail *quartet_mail_new(void);
void quartet_mail_free(quartet_mail *m);
/* Sends every buffer that reaches a sink element's pad. 0: no such element. */
int quartet_tap(quartet_mail *m, GstElement *pipeline, const char *element, int kind, int source);
/* Waits for a letter. 0: none within the time. */
int quartet_mail_wait(quartet_mail *m, int64_t microseconds, quartet_letter *out);
uint64_t quartet_mail_dropped(quartet_mail *m);

/* Pushes a picture into an appsrc: shares the memory of b, which stays the
 * caller's. */
int quartet_push_picture(GstElement *appsrc, GstBuffer *b, uint64_t pts, uint64_t duration);
/* Pushes a copy of data. */
int quartet_push_bytes(GstElement *appsrc, const void *data, size_t size, uint64_t pts, uint64_t duration);
/* Ends a stream. */
void quartet_push_end(GstElement *appsrc);

#endif
