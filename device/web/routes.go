package web

import "net/http"

// Role is what somebody may do.
type Role string

// The roles, each of which may do what those before it may. Public is nobody.
const (
	Public   Role = ""
	Viewer   Role = "viewer"   // sees
	Operator Role = "operator" // runs
	Admin    Role = "admin"    // configures
)

// may tells whether r is enough for what takes least.
func (r Role) may(least Role) bool { return r.rank() >= least.rank() }

func (r Role) rank() int {
	switch r {
	case Viewer:
		return 1
	case Operator:
		return 2
	case Admin:
		return 3
	}
	return 0
}

// Bounds of request bodies in bytes.
const (
	smallBody    = 64 << 10
	documentBody = 1 << 20
)

// The routes of /api/v1: router, roles, audit and OpenAPI come from this table
// and from the types of the handlers that it names.
func routes() []route {
	return []route{
		{method: http.MethodGet, path: "/state", role: Public, group: "access", summary: "What everybody may know of the box",
			endpoint: get((*Server).getState)},
		{method: http.MethodPost, path: "/claim", role: Public, group: "access", summary: "Set up a new box: makes the first admin and opens a session",
			status: http.StatusCreated, audit: "claim", fails: []int{403, 409, 429}, endpoint: post((*Server).claim)},
		{method: http.MethodPost, path: "/session", role: Public, group: "access", summary: "Log in",
			audit: "login", fails: []int{401, 409, 429}, endpoint: post((*Server).login)},
		{method: http.MethodGet, path: "/session", role: Viewer, quiet: true, group: "access", summary: "Who is logged in",
			endpoint: get((*Server).getSession)},
		{method: http.MethodDelete, path: "/session", role: Viewer, group: "access", summary: "Log out",
			audit: "logout", endpoint: query((*Server).logout)},
		{method: http.MethodPut, path: "/session/password", role: Viewer, group: "access", summary: "Change one's own password; other sessions of the user end",
			audit: "password", fails: []int{429}, endpoint: post((*Server).putPassword)},
		{method: http.MethodGet, path: "/users", role: Admin, group: "access", summary: "Who may log in",
			endpoint: get((*Server).getUsers)},
		{method: http.MethodPost, path: "/users", role: Admin, group: "access", summary: "Make a user",
			status: http.StatusCreated, audit: "user.add", fails: []int{409}, endpoint: post((*Server).postUser)},
		{method: http.MethodPut, path: "/users/{name}", role: Admin, group: "access", summary: "Change a user's role or password",
			audit: "user.change", fails: []int{404, 409}, endpoint: post((*Server).putUser)},
		{method: http.MethodDelete, path: "/users/{name}", role: Admin, group: "access", summary: "Remove a user; the last admin stays",
			audit: "user.delete", fails: []int{404, 409}, endpoint: get((*Server).deleteUser)},
		{method: http.MethodGet, path: "/audit", role: Admin, group: "access", summary: "The audit log",
			endpoint: query((*Server).getAudit)},

		{method: http.MethodGet, path: "/status", role: Viewer, quiet: true, group: "status", summary: "The whole box at this moment",
			endpoint: get((*Server).getStatus)},
		{method: http.MethodGet, path: "/events", role: Viewer, quiet: true, group: "status",
			summary: "Server-sent events: overview (each second, as GET /status), condition (when one is raised, changed or cleared), notice, bye (the session has ended; do not come back without a login). A reader that hears nothing for 3 s is cut off",
			fails:   []int{503}, endpoint: stream((*Server).getEvents)},
		{method: http.MethodGet, path: "/thumbnail", role: Viewer, quiet: true, group: "status", summary: "Latest picture of the input, a JPEG of 320×180",
			fails: []int{404}, endpoint: binary((*Server).getThumbnail, "image/jpeg")},
		{method: http.MethodGet, path: "/conditions", role: Viewer, quiet: true, group: "status", summary: "What is wrong, and what was",
			endpoint: get((*Server).getConditions)},
		{method: http.MethodGet, path: "/history", role: Viewer, quiet: true, group: "status", summary: "Points of the last 24 hours for plots",
			endpoint: query((*Server).getHistory)},
		{method: http.MethodGet, path: "/telemetry", role: Viewer, quiet: true, group: "status", summary: "How reports get home, and the availability so far",
			endpoint: get((*Server).getTelemetry)},

		{method: http.MethodGet, path: "/config", role: Viewer, group: "config", summary: "The stored box document, without secrets",
			etag: true, endpoint: get((*Server).getConfig)},
		{method: http.MethodPut, path: "/config", role: Admin, group: "config", summary: "Save a document and put it into force. A secret written as (set) stays as it is",
			ifMatch: true, maxBody: documentBody, audit: "config.save", fails: []int{409}, endpoint: both((*Server).putConfig)},
		{method: http.MethodPatch, path: "/config", role: Admin, group: "config", summary: "Change a part of the document (merge patch, RFC 7386: lists are replaced as a whole) and put it into force",
			ifMatch: true, maxBody: documentBody, audit: "config.save", fails: []int{409}, endpoint: both((*Server).patchConfig)},
		{method: http.MethodPost, path: "/config/check", role: Operator, group: "config", summary: "Say what is wrong with a document, and what saving it would do; nothing is changed",
			maxBody: documentBody, endpoint: post((*Server).checkConfig)},
		{method: http.MethodGet, path: "/config/schema", role: Viewer, group: "config", summary: "JSON Schema of the box document",
			endpoint: get((*Server).getSchema)},
		{method: http.MethodGet, path: "/config/export", role: Admin, group: "config", summary: "The document as a file, without secrets",
			audit: "config.export", endpoint: binary((*Server).exportConfig, "application/json")},
		{method: http.MethodPost, path: "/config/import", role: Admin, group: "config", summary: "Save an exported document. Its secrets are those that the same fields have now",
			ifMatch: true, maxBody: documentBody, audit: "config.import", fails: []int{409}, endpoint: both((*Server).importConfig)},
		{method: http.MethodPost, path: "/config/rollback", role: Admin, group: "config", summary: "Return to the document before",
			ifMatch: true, audit: "config.rollback", fails: []int{404, 409}, endpoint: query((*Server).rollbackConfig)},
		{method: http.MethodGet, path: "/presets", role: Viewer, group: "config", summary: "Parts of documents under a name",
			endpoint: get((*Server).getPresets)},
		{method: http.MethodPut, path: "/presets/{name}", role: Admin, group: "config", summary: "Keep a preset",
			audit: "preset.save", fails: []int{409}, endpoint: post((*Server).putPreset)},
		{method: http.MethodDelete, path: "/presets/{name}", role: Admin, group: "config", summary: "Remove a preset",
			audit: "preset.delete", fails: []int{404, 409}, endpoint: get((*Server).deletePreset)},
		{method: http.MethodPost, path: "/presets/{name}/apply", role: Admin, group: "config", summary: "Merge a preset into the document and put it into force",
			ifMatch: true, audit: "preset.apply", fails: []int{404, 409}, endpoint: query((*Server).applyPreset)},
		{method: http.MethodPost, path: "/destinations/parse", role: Operator, group: "config", summary: "Read a pasted srt:// line",
			endpoint: post((*Server).parseLine)},
		{method: http.MethodPost, path: "/preflight", role: Operator, group: "config", summary: "Try out a path: name, connection, key, round trip, largest packet",
			audit: "preflight", fails: []int{404, 409, 503}, endpoint: post((*Server).preflight)},
		{method: http.MethodPost, path: "/plan", role: Operator, group: "config", summary: "Latency calculator",
			endpoint: post((*Server).plan)},

		{method: http.MethodGet, path: "/network", role: Viewer, group: "box", summary: "The network's settings and state",
			fails: []int{503}, etag: true, endpoint: get((*Server).getNetwork)},
		{method: http.MethodPut, path: "/network", role: Admin, group: "box", summary: "Change the network. It goes back by itself unless it is confirmed in time, over the new address where that changed",
			status: http.StatusAccepted, ifMatch: true, audit: "network.apply", fails: []int{409, 503}, endpoint: post((*Server).putNetwork)},
		{method: http.MethodPost, path: "/network/confirm", role: Admin, group: "box", summary: "Keep the changed network",
			audit: "network.confirm", fails: []int{409, 503}, endpoint: post((*Server).confirmNetwork)},
		{method: http.MethodPost, path: "/network/revert", role: Admin, group: "box", summary: "Go back to the network before",
			audit: "network.revert", fails: []int{409, 503}, endpoint: get((*Server).revertNetwork)},
		{method: http.MethodGet, path: "/settings", role: Viewer, group: "box", summary: "Settings of page and telemetry",
			etag: true, endpoint: get((*Server).getSettings)},
		{method: http.MethodPut, path: "/settings", role: Admin, group: "box", summary: "Change the settings of page and telemetry",
			ifMatch: true, audit: "settings.save", endpoint: post((*Server).putSettings)},
		{method: http.MethodPost, path: "/metrics-token", role: Admin, group: "box", summary: "Make a new token for /metrics; the one before ends",
			status: http.StatusCreated, audit: "metrics.token", endpoint: get((*Server).postMetricsToken)},
		{method: http.MethodDelete, path: "/metrics-token", role: Admin, group: "box", summary: "End the token for /metrics",
			audit: "metrics.token", endpoint: get((*Server).deleteMetricsToken)},
		{method: http.MethodGet, path: "/identity", role: Viewer, group: "box", summary: "Serial number and certificates",
			endpoint: get((*Server).getIdentity)},
		{method: http.MethodPost, path: "/identity/csr", role: Admin, group: "box", summary: "Make a certificate signing request; the key stays in the box",
			audit: "identity.csr", endpoint: get((*Server).postCSR)},
		{method: http.MethodPut, path: "/identity/certificate", role: Admin, group: "box", summary: "Install the device certificate and the CA of the telemetry server",
			audit: "identity.certificate", endpoint: post((*Server).putCertificate)},
		{method: http.MethodPost, path: "/identity/enrol", role: Admin, group: "box", summary: "Fetch the device certificate by EST (RFC 7030)",
			audit: "identity.enrol", fails: []int{502}, endpoint: post((*Server).enrol)},
		{method: http.MethodGet, path: "/logs", role: Operator, group: "box", summary: "The last log lines",
			endpoint: query((*Server).getLogs)},
		{method: http.MethodPost, path: "/support-bundle", role: Operator, group: "box", summary: "A ZIP file with state, conditions, document, logs and versions, without secrets",
			audit: "support-bundle", endpoint: binary((*Server).supportBundle, "application/zip")},
		{method: http.MethodPost, path: "/identify", role: Operator, group: "box", summary: "Make the box blink",
			audit: "identify", fails: []int{501}, endpoint: post((*Server).identify)},
		{method: http.MethodPost, path: "/reboot", role: Admin, group: "box", summary: "Start the whole box again",
			status: http.StatusAccepted, audit: "reboot", fails: []int{503}, endpoint: get((*Server).reboot)},
		{method: http.MethodPost, path: "/factory-reset", role: Admin, group: "box", summary: "Destroy keys, users and settings: the box is as it was delivered",
			status: http.StatusAccepted, audit: "factory-reset", fails: []int{503}, endpoint: post((*Server).factoryReset)},
		{method: http.MethodPost, path: "/time", role: Admin, group: "box", summary: "Set the clock of a box without a time server",
			audit: "time.set", fails: []int{409, 503}, endpoint: post((*Server).setTime)},
		{method: http.MethodGet, path: "/update", role: Viewer, quiet: true, group: "update", summary: "What runs, what is newer, what it waits for, and what was",
			endpoint: get((*Server).getUpdate)},
		{method: http.MethodPost, path: "/update/check", role: Operator, group: "update", summary: "Ask the repository now; what is found waits for its time as ever",
			audit: "update.check", fails: []int{409}, endpoint: get((*Server).checkUpdate)},
		{method: http.MethodPost, path: "/update/now", role: Admin, group: "update", summary: "Let the update begin at once, outside its window. It overrules neither signatures nor the time of day, and the sibling only if asked to",
			audit: "update.now", fails: []int{409}, endpoint: post((*Server).updateNow)},
		{method: http.MethodPost, path: "/update/defer", role: Operator, group: "update", summary: "Put updates off",
			audit: "update.defer", fails: []int{409}, endpoint: post((*Server).deferUpdate)},
		{method: http.MethodPost, path: "/update/cancel", role: Operator, group: "update", summary: "Take back an uploaded file or the word to begin, until it has begun",
			audit: "update.cancel", fails: []int{409}, endpoint: get((*Server).cancelUpdate)},
		{method: http.MethodPost, path: "/update/upload", role: Admin, group: "update", summary: "Bring an update in one file (quartetctl repo pack). It is checked as any other, and waits for its window",
			audit: "update.upload", fails: []int{409}, endpoint: upload((*Server).uploadUpdate)},
		{method: http.MethodGet, path: "/about", role: Viewer, group: "box", summary: "Version, licences, end of support, security contact",
			endpoint: get((*Server).getAbout)},
		{method: http.MethodGet, path: "/openapi.json", role: Public, group: "access", summary: "This description",
			endpoint: get((*Server).getOpenAPI)},
	}
}
