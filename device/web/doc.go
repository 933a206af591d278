// Package web is the box's management interface: an HTTPS server with the REST
// interface /api/v1, its description in OpenAPI, a stream of server-sent events,
// the page (embedded, device/web/ui) and a rescue page without any script.
//
// The way of a request:
//
//	server.go   connections, time limits, how many at once
//	guard.go    Host, origin, headers of the answer
//	router.go   the route of routes.go, session, role, body and query (strict)
//	api_*.go    what the route does
//	problem.go  what goes wrong, as RFC 9457 problem details
//
// routes.go is the table from which router, roles, audit and OpenAPI all come;
// the Go types in types_*.go are the only description of requests and answers.
// Fields of requests carry the tags of device/config and are read by the same
// strict reader: an unknown name, a wrong type, a value out of range is refused
// with the field's path and what to write instead, before anything is done.
//
// The package knows HTTP and nothing else. Users, networks, telemetry and the
// media plane are interfaces (parts.go); cmd/quartet-manage puts the real ones
// behind them. The media plane never waits for this one: it is asked over its
// control socket, and a document reaches it as a file that it reads by itself.
package web
