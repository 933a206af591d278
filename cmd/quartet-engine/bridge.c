#include "bridge.h"

#define LETTERS 64

struct quartet_mail {
	GMutex mutex;
	GCond cond;
	quartet_letter ring[LETTERS];
	unsigned head, count;
	uint64_t dropped;
};

quartet_mail *quartet_mail_new(void)
{
	quartet_mail *m = g_new0(quartet_mail, 1);
	g_mutex_init(&m->mutex);
	g_cond_init(&m->cond);
	return m;
}

void quartet_mail_free(quartet_mail *m)
{
	for (unsigned i = 0; i < m->count; i++)
		gst_buffer_unref(m->ring[(m->head + i) % LETTERS].buffer);
	g_mutex_clear(&m->mutex);
	g_cond_clear(&m->cond);
	g_free(m);
}

typedef struct {
	quartet_mail *mail;
	int kind, source;
} tap;

static GstPadProbeReturn letter(GstPad *pad, GstPadProbeInfo *info, gpointer user)
{
	tap *t = user;
	GstBuffer *b = GST_PAD_PROBE_INFO_BUFFER(info);
	quartet_letter l = {.kind = t->kind, .source = t->source};
	GstClockTime running = GST_CLOCK_TIME_NONE;
	GstEvent *event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0);
	if (event) {
		const GstSegment *segment;
		gst_event_parse_segment(event, &segment);
		running = gst_segment_to_running_time(segment, GST_FORMAT_TIME, GST_BUFFER_PTS(b));
		gst_event_unref(event);
	}
	GstElement *e = GST_ELEMENT_CAST(GST_PAD_PARENT(pad));
	if (GST_CLOCK_TIME_IS_VALID(running)) {
		/* The pipeline's clock is the system's, which is CLOCK_MONOTONIC. */
		l.at = (int64_t)(gst_element_get_base_time(e) + running);
	} else {
		l.at = g_get_monotonic_time() * 1000;
	}
	if (t->kind == QUARTET_VIDEO) {
		GstCaps *caps = gst_pad_get_current_caps(pad);
		if (caps) {
			gst_structure_get_fraction(gst_caps_get_structure(caps, 0), "framerate", &l.rate_num, &l.rate_den);
			gst_caps_unref(caps);
		}
	}
	l.buffer = gst_buffer_ref(b);
	quartet_mail *m = t->mail;
	GstBuffer *old = NULL;
	g_mutex_lock(&m->mutex);
	if (m->count == LETTERS) {
		old = m->ring[m->head].buffer;
		m->head = (m->head + 1) % LETTERS;
		m->count--;
		m->dropped++;
	}
	m->ring[(m->head + m->count++) % LETTERS] = l;
	g_cond_signal(&m->cond);
	g_mutex_unlock(&m->mutex);
	if (old)
		gst_buffer_unref(old);
	return GST_PAD_PROBE_OK;
}

int quartet_tap(quartet_mail *m, GstElement *pipeline, const char *element, int kind, int source)
{
	GstElement *e = gst_bin_get_by_name(GST_BIN(pipeline), element);
	if (!e)
		return 0;
	GstPad *pad = gst_element_get_static_pad(e, "sink");
	gst_object_unref(e);
	if (!pad)
		return 0;
	tap *t = g_new(tap, 1);
	*t = (tap){m, kind, source};
	gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, letter, t, g_free);
	gst_object_unref(pad);
	return 1;
}

int quartet_mail_wait(quartet_mail *m, int64_t microseconds, quartet_letter *out)
{
	gint64 end = g_get_monotonic_time() + microseconds;
	g_mutex_lock(&m->mutex);
	while (m->count == 0)
		if (!g_cond_wait_until(&m->cond, &m->mutex, end))
			break;
	int got = m->count > 0;
	if (got) {
		*out = m->ring[m->head];
		m->head = (m->head + 1) % LETTERS;
		m->count--;
	}
	g_mutex_unlock(&m->mutex);
	return got;
}

uint64_t quartet_mail_dropped(quartet_mail *m)
{
	g_mutex_lock(&m->mutex);
	uint64_t n = m->dropped;
	g_mutex_unlock(&m->mutex);
	return n;
}

/* appsrc by its action signal: its library is in plugins-base, whose -dev
 * package we do without. */
static int push(GstElement *appsrc, GstBuffer *b, uint64_t pts, uint64_t duration)
{
	GstFlowReturn flow = GST_FLOW_ERROR;
	GST_BUFFER_PTS(b) = pts;
	GST_BUFFER_DTS(b) = GST_CLOCK_TIME_NONE;
	GST_BUFFER_DURATION(b) = duration;
	GST_BUFFER_OFFSET(b) = GST_BUFFER_OFFSET_END(b) = GST_BUFFER_OFFSET_NONE;
	g_signal_emit_by_name(appsrc, "push-buffer", b, &flow);
	gst_buffer_unref(b);
	return flow == GST_FLOW_OK;
}

int quartet_push_picture(GstElement *appsrc, GstBuffer *b, uint64_t pts, uint64_t duration)
{
	GstBuffer *copy = gst_buffer_copy(b);
	GST_BUFFER_FLAG_UNSET(copy, GST_BUFFER_FLAG_DISCONT);
	return push(appsrc, copy, pts, duration);
}

int quartet_push_bytes(GstElement *appsrc, const void *data, size_t size, uint64_t pts, uint64_t duration)
{
	return push(appsrc, gst_buffer_new_memdup(data, size), pts, duration);
}

void quartet_push_end(GstElement *appsrc)
{
	GstFlowReturn flow;
	g_signal_emit_by_name(appsrc, "end-of-stream", &flow);
}
