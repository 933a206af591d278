#include "tap.h"
#include <string.h>

long quartet_pull(GstElement *appsink, int milliseconds, void *to, size_t room, int64_t *running)
{
	GstSample *sample = NULL;
	*running = -1;
	g_signal_emit_by_name(appsink, "try-pull-sample", (guint64)milliseconds * GST_MSECOND, &sample);
	if (!sample) {
		gboolean ended = FALSE;
		g_object_get(appsink, "eos", &ended, NULL);
		return ended ? QUARTET_PULL_ENDED : QUARTET_PULL_NONE;
	}
	GstBuffer *b = gst_sample_get_buffer(sample);
	GstSegment *segment = gst_sample_get_segment(sample);
	long n = 0;
	if (b) {
		gsize size = gst_buffer_get_size(b);
		n = size > room ? QUARTET_PULL_LONG : (long)gst_buffer_extract(b, 0, to, size);
		if (segment && segment->format == GST_FORMAT_TIME && GST_BUFFER_PTS_IS_VALID(b)) {
			guint64 t = gst_segment_to_running_time(segment, GST_FORMAT_TIME, GST_BUFFER_PTS(b));
			if (GST_CLOCK_TIME_IS_VALID(t))
				*running = (int64_t)t;
		}
	}
	gst_sample_unref(sample);
	return n;
}

int quartet_tap_push(GstElement *appsrc, const void *data, size_t size, int64_t running)
{
	GstFlowReturn flow = GST_FLOW_ERROR;
	GstBuffer *b = gst_buffer_new_memdup(data, size);
	if (running >= 0)
		GST_BUFFER_PTS(b) = GST_BUFFER_DTS(b) = (GstClockTime)running;
	g_signal_emit_by_name(appsrc, "push-buffer", b, &flow);
	gst_buffer_unref(b);
	return flow == GST_FLOW_OK;
}

static GstPadProbeReturn tally(GstPad *pad, GstPadProbeInfo *info, gpointer user)
{
	(void)pad;
	(void)info;
	__atomic_fetch_add((uint64_t *)user, 1, __ATOMIC_RELAXED);
	return GST_PAD_PROBE_OK;
}

static GstPad *pad_of(GstElement *pipeline, const char *element, const char *name)
{
	GstElement *e = gst_bin_get_by_name(GST_BIN(pipeline), element);
	if (!e)
		return NULL;
	GstPad *pad = gst_element_get_static_pad(e, name);
	gst_object_unref(e);
	return pad;
}

int quartet_tally(GstElement *pipeline, const char *element, uint64_t *counter)
{
	GstPad *pad = pad_of(pipeline, element, "src");
	if (!pad)
		return 0;
	gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, tally, counter, NULL);
	gst_object_unref(pad);
	return 1;
}

uint64_t quartet_tallied(const uint64_t *counter) { return __atomic_load_n(counter, __ATOMIC_RELAXED); }

int quartet_still(GstElement *pipeline, const char *decoder)
{
	GstPad *pad = pad_of(pipeline, decoder, "sink");
	if (!pad)
		return 0;
	/* What gst_video_event_new_still_frame makes: GstVideoDecoder drains. */
	GstStructure *s = gst_structure_new("GstEventStillFrame", "still-state", G_TYPE_BOOLEAN, TRUE, NULL);
	int ok = gst_pad_send_event(pad, gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM, s));
	gst_object_unref(pad);
	return ok;
}
