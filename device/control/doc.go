// Package control is the media plane's local socket: HTTP and JSON over a Unix
// socket, for quartetctl, the box's page, telemetry and the updater. Its one
// job is to show what quartetd does and to pass on the few requests that it
// takes.
//
//	GET  /v1/status               Status
//	GET  /v1/conditions           Conditions: active ones and cleared ones
//	GET  /v1/events               server-sent events: what is kept, then what comes
//	                              (?follow=false ends after what is kept; ?after=ID
//	                              or the Last-Event-ID header resumes)
//	POST /v1/reload               Reload: the configuration file is read again
//	POST /v1/preflight?path=NAME  Preflight: the path is tried out
//
// An error is {"error": "…"} with a matching status code. The server asks its
// owner through the small interfaces Media and Health, at most a few times a
// second and never on the packet path; it limits connections, so that a flood
// of requests costs the media plane nothing. The socket has mode 0660: who may
// use it is decided by the file's group.
//
// In JSON, instants are RFC 3339 wall-clock times, durations end in _ms or _s,
// bit rates in _bps. Counters end in _total where a rate may be taken of them
// and count since the process (of a path: the path) started.
package control
