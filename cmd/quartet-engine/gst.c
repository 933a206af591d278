#include "gst.h"

void quartet_bus_next(GstElement *pipeline, int milliseconds, quartet_message *m)
{
	m->kind = QUARTET_NOTHING;
	m->source = m->factory = m->text = NULL;
	GstBus *bus = gst_element_get_bus(pipeline);
	GstMessage *msg = gst_bus_timed_pop_filtered(bus, (GstClockTime)milliseconds * GST_MSECOND,
		GST_MESSAGE_ERROR | GST_MESSAGE_WARNING | GST_MESSAGE_ELEMENT | GST_MESSAGE_EOS);
	gst_object_unref(bus);
	if (!msg)
		return;
	GError *err = NULL;
	gchar *debug = NULL;
	switch (GST_MESSAGE_TYPE(msg)) {
	case GST_MESSAGE_ERROR:
		m->kind = QUARTET_ERROR;
		gst_message_parse_error(msg, &err, &debug);
		break;
	case GST_MESSAGE_WARNING:
		m->kind = QUARTET_WARNING;
		gst_message_parse_warning(msg, &err, &debug);
		break;
	case GST_MESSAGE_ELEMENT:
		m->kind = QUARTET_ELEMENT;
		m->text = gst_structure_to_string(gst_message_get_structure(msg));
		break;
	default:
		m->kind = QUARTET_EOS;
	}
	if (err) {
		m->text = g_strdup_printf("%s%s%s", err->message, debug ? ": " : "", debug ? debug : "");
		g_error_free(err);
	}
	g_free(debug);
	if (GST_MESSAGE_SRC(msg)) {
		m->source = gst_object_get_name(GST_MESSAGE_SRC(msg));
		if (GST_IS_ELEMENT(GST_MESSAGE_SRC(msg))) {
			GstElementFactory *f = gst_element_get_factory(GST_ELEMENT(GST_MESSAGE_SRC(msg)));
			if (f)
				m->factory = g_strdup(GST_OBJECT_NAME(f));
		}
	}
	gst_message_unref(msg);
}

int quartet_key_frame(GstElement *pipeline, const char *element)
{
	GstElement *e = gst_bin_get_by_name(GST_BIN(pipeline), element);
	if (!e)
		return 0;
	/* What gst_video_event_new_upstream_force_key_unit makes; that function is
	 * in a library of plugins-base, whose -dev package we do without. */
	GstStructure *s = gst_structure_new("GstForceKeyUnit", "running-time", GST_TYPE_CLOCK_TIME, GST_CLOCK_TIME_NONE,
		"all-headers", G_TYPE_BOOLEAN, TRUE, "count", G_TYPE_UINT, 0, NULL);
	int ok = gst_element_send_event(e, gst_event_new_custom(GST_EVENT_CUSTOM_UPSTREAM, s));
	gst_object_unref(e);
	return ok;
}

int quartet_set(GstElement *pipeline, const char *element, const char *property, const char *value)
{
	GstElement *e = gst_bin_get_by_name(GST_BIN(pipeline), element);
	if (!e)
		return 0;
	int ok = g_object_class_find_property(G_OBJECT_GET_CLASS(e), property) != NULL;
	if (ok)
		gst_util_set_object_arg(G_OBJECT(e), property, value);
	gst_object_unref(e);
	return ok;
}

void quartet_system_time(GstElement *pipeline)
{
	gst_element_set_start_time(pipeline, GST_CLOCK_TIME_NONE);
	gst_element_set_base_time(pipeline, 0);
}
