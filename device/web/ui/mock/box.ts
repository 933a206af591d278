// The mock's state: a box on air with four paths, one of them lossy.
import type { IncomingHttpHeaders } from "node:http";

interface Answer {
  status: number;
  data?: unknown;
  headers?: Record<string, string>;
}

const ok = (data: unknown, headers?: Record<string, string>): Answer => ({ status: 200, data, headers });
const problem = (status: number, title: string, detail = "", errors: unknown[] = [], more: object = {}): Answer => ({
  status, data: { type: "about:blank", title, status, detail, errors, ...more },
});

export class Box {
  silent = false;
  claimed = true;
  session: { user: string; role: string } | null = null;
  revision = 1;
  start = Date.now();
  lost = 0;
  doc: Record<string, unknown> = {
    version: 1, name: "studio-1",
    input: { type: "sdi", url: "sdi:///dev/video0", audio_device: "hw:1" },
    encoder: { bitrate_kbps: 12000 },
    output: { latency_ms: 600, key: "(set)" },
    paths: ["1a", "1b", "2a", "2b"].map((name, i) => ({
      name, leg: i < 2 ? 1 : 2, url: `srt://gw${name}.example.net:9000`, interface: i % 2 ? "eth2" : "eth1", passphrase: "(set)", stream_id: "7f3a" + i,
    })),
  };

  overview(): unknown {
    const t = Date.now() / 1000;
    const wave = (k: number, a: number, b: number) => a + b * Math.sin(t / (5 + k) + k);
    const path = (name: string, i: number) => ({
      name, leg: i < 2 ? 1 : 2, profile: "rtp-fec", state: i === 3 ? "connecting" : "up", reason: i === 3 ? "timed out: no answer from 203.0.113.9:9000" : undefined, up_s: 8123,
      remote: `203.0.113.${4 + i}:9000`, interface: i % 2 ? "eth2" : "eth1", encrypted: true, bitrate_bps: wave(i, 13.4e6, 3e5), rtt_ms: wave(i, 24 + 9 * i, 2), srt_latency_ms: 260,
      stagger_ms: (i % 2) * 15, sent_total: 1e6, send_loss_total: 400, send_loss_percent: i === 1 ? wave(2, 2.1, 0.8) : Math.max(0, wave(i, 0.02, 0.04)), retransmits_total: 431,
      send_dropped_total: 0, queue_dropped_total: 0, connects_total: 1, disconnects_total: 0,
      arrival: i === 3 ? undefined : {
        age_ms: 140, received_total: 1e6, lost_here_total: 900, by_other_total: 880 + Math.floor(t / 9) % 40, by_parity_total: 20 + Math.floor(t / 20) % 9, unrecovered_total: 0, late_total: 0, bad_tag_total: 0,
        skew_ms: 3, jitter_ms: 1.2, loss_percent: i === 1 ? 0.08 : 0, merged: { delivered_total: 1e6, by_parity_total: 20, lost_total: this.lost, margin_ms: wave(i, 212, 20), latency_ms: 600, bitrate_bps: 12e6 },
        digest: { compared_total: 900, equal_total: 900, different_total: 0 },
      },
    });
    const now = new Date().toISOString();
    const condition = (code: string, resource: string, severity: string, text: string, remedy: string) => ({
      id: code + "@" + resource, code, resource, severity, text, remedy, active: true, count: 2, first_raised: now, raised: new Date(this.start - 125e3).toISOString(), changed: now, source: "media",
    });
    return {
      time: now, name: "studio-1", worst: "major",
      box: {
        name: "studio-1", version: "v0.4.0", time: now, uptime_s: 86000, worst: "major", conditions: [],
        input: {
          type: "sdi", url: "sdi:///dev/video0", state: "ok", on_input_loss: "slate", filling: false, bitrate_bps: 12e6, jitter_ms: 0.3, continuity_errors_total: 0, transport_errors_total: 0, losses_total: 0,
          engine: {
            up: true, encoder: "x264enc", on_air: "engine", input_present: true, starts_total: 1, frames_captured_total: 1e5, late_frames_total: 0, rate_bps: 12e6, lead_ms: 120, delay_ms: 64, memory_mib: 310,
            slate_seconds_total: 0, last_outage_ms: 0, peak_db: [wave(1, -14, 6), wave(2, -15, 6), wave(3, -22, 8), -70], rms_db: [wave(1, -22, 5), wave(2, -23, 5), wave(3, -30, 6), -70],
          },
          monitor: {
            synced: true, bitrate_bps: 12e6, null_share: 0.03, priority1_errors_total: 0, priority2_errors_total: 0, priority3_errors_total: 0,
            services: [{ number: 1, name: "studio-1", provider: "Quartet", components: [{ pid: 257, kind: "video", codec: "H.264" }, { pid: 258, kind: "audio", codec: "AAC", language: "eng" }] }],
          },
        },
        output: {}, plan: { k: 64, rows_per_stream: 7, streams: 4, max_block_ms: 55, fec_bound_ms: 118, srt_latency_ms: 420, stagger_ms: 15, reserve_ms: 47, latency_ms: 600, spare_ms: 90, arq_rounds: 5.4, overhead_percent: 10.9, overhead_measured_percent: 10.7, wire_bps: 13.5e6 },
        paths: ["1a", "1b", "2a", "2b"].map(path),
      },
      conditions: [
        condition("leg-unprotected", "leg/2", "major", "One path alone carries the leg: 2a", "Bring the other path back: the next fault silences the leg."),
        condition("path-down", "path/2b", "major", "Not connected: timed out: no answer from 203.0.113.9:9000", "Wrong passphrase or refused: compare passphrase and stream id with the far end. Timed out: check address, port, firewall and the allowlist of the far end. Name not found: check the URL and DNS."),
        condition("path-loss", "path/1b", "minor", "Packets of this path do not arrive and are repaired from elsewhere: 2.1 %", "Nothing is lost while another path or the parity repairs it. If it stays, ask the network's operator; a higher latency_ms gives retransmission more tries."),
      ],
      system: { cpu_percent: wave(1, 41, 5), memory_mib: 512, memory_total_mib: 2048, temperature_c: 58, uptime_s: 90000, boot_id: "b", load1: 0.8 },
      telemetry: { state: "ok", endpoint: "https://collector.example.net:4318", queued_records: 12, queued_bytes: 3000, oldest_queued: now, last_contact: now, gaps: 0 },
      network: { links: ["eth0", "eth1", "eth2"].map((name, i) => ({ name, mac: "02:00:00:00:00:0" + i, up: true, carrier: true, speed_mbps: 1000, mtu: 1500, addresses: [`192.0.2.${7 + i}/24`], gateways: ["192.0.2.1"], dns: ["192.0.2.1"], rx_bps: 1e6, tx_bps: 13e6, rx_errors_total: 0, tx_errors_total: 0 })), pending: null, clock_synchronised: true, time_server: "ntp.example.net" },
      shared_interfaces: [], config_revision: String(this.revision), update: { available: true, running_version: "1.0.0", board: "generic", slots: [{ name: "A", state: "running", version: "1.0.0", next: true }, { name: "B", state: "bad", next: false }], phase: "ready", offer: { version: "1.1.0", downgrade: false, ring: "all", upload: false, notes: "quieter fans", bytes: 61234567, found: now }, progress: null, waits: { why: "window", text: "the maintenance window begins at Sun 2026-11-29 02:00 CET", until: null }, trial: null, mode: "automatic", windows: ["sun 02:00-05:00"], zone: "Europe/Berlin", defer_until: null, repository: true, last_check: now, next_check: now, sibling: null, refused: [], clock_good: true },
    };
  }

  answer(method: string, path: string, q: URLSearchParams, body: unknown, h: IncomingHttpHeaders): Answer {
    const b = (body ?? {}) as Record<string, unknown>;
    const me = () => ok({ ...this.session, idle_s: 900, expires: new Date(Date.now() + 43_200_000).toISOString() });
    const key = method + " " + path;
    if (key === "GET /state") return ok({ claimed: this.claimed, name: "studio-1", serial: "QT-000123", product: "Quartet", version: "v0.4.0", time: new Date().toISOString(), clock_synchronised: true, languages: ["en", "de"], language: "en" });
    if (key === "POST /session") {
      if (b["password"] !== "password10") return problem(401, "Wrong user or password");
      this.session = { user: String(b["user"]), role: "admin" };
      return me();
    }
    if (!this.session) return problem(401, "Not logged in");
    switch (key) {
      case "GET /session": return me();
      case "DELETE /session": this.session = null; return { status: 204 };
      case "GET /status": return ok(this.overview());
      case "GET /thumbnail": return problem(404, "No picture", "the input gives no picture");
      case "GET /config": return ok({ revision: String(this.revision), saved: true, document: this.doc, warnings: [] }, { ETag: `"${this.revision}"` });
      case "PUT /config":
        if (h["if-match"] !== `"${this.revision}"`) return problem(412, "Changed meanwhile", "", [], { changed_by: "bob", changed_at: new Date().toISOString() });
        this.doc = b;
        this.revision++;
        return ok({ revision: String(this.revision), changed: ["path 1b: interface"], warnings: [], applied: true, restarted: false, missing_secrets: [] });
      case "POST /config/check": return ok({ ok: true, errors: [], warnings: [], plan: (this.overview() as { box: { plan: unknown } }).box.plan, needs_restart: [] });
      case "GET /config/schema": return ok({ $defs: {} });
      case "POST /plan": return ok((this.overview() as { box: { plan: unknown } }).box.plan);
      case "POST /destinations/parse": return ok({ ok: true, errors: [], path: { profile: "rtp-fec", url: "srt://gw3a.example.net:9000", host: "gw3a.example.net", port: 9000, mode: "caller", stream_id: "abc" }, secrets: ["key"] });
      case "POST /preflight": return ok({ path: b["path"], ok: true, steps: [{ name: "resolve", ok: true, text: "gw1a.example.net is 203.0.113.4" }, { name: "connect", ok: true, text: "connected in 31 ms" }], largest_bytes: 1456, ts_packets_per_message: 7 });
      case "GET /presets": return ok({ presets: [{ name: "contribution-low-latency", builtin: true, description: "Shortest delay", document: { encoder: { profile: "contribution-low-latency" } } }] });
      case "GET /conditions": return ok({ worst: "major", conditions: (this.overview() as { conditions: unknown[] }).conditions });
      case "GET /history": {
        const names = ["path.1a.bitrate_bps", "path.1b.bitrate_bps", "path.2a.bitrate_bps", "path.1a.rtt_ms", "path.1b.rtt_ms", "path.1a.loss_percent", "path.1b.loss_percent", "system.cpu_percent", "system.temperature_c"];
        const asked = (q.get("series") ?? "").split(",").filter(Boolean);
        const from = Number(q.get("from") ?? 0), to = Number(q.get("to") ?? 0), n = 360, step = Math.max(1, Math.round((to - from) / n));
        const series: Record<string, unknown> = {};
        for (const [k, name] of (asked.length ? asked : names).entries()) {
          const top = name.includes("bps") ? 13e6 : name.includes("rtt") ? 30 : name.includes("loss") ? 1 : 50;
          series[name] = { unit: name.includes("bps") ? "bit/s" : name.includes("ms") ? "ms" : name.includes("_c") ? "°C" : "%", points: asked.length ? Array.from({ length: n }, (_, i) => (i > 100 && i < 108 ? null : top * (1 + 0.1 * Math.sin(i / 9 + k)))) : null };
        }
        return ok({ from: new Date(from * 1000).toISOString(), step_s: step, series });
      }
      case "GET /network": return ok({ settings: { hostname: "quartet-qt-000123", interfaces: [{ name: "eth0", dhcp4: true, ipv6: "auto" }, { name: "eth1", dhcp4: false, addresses: ["192.0.2.8/24"], gateway: "192.0.2.1", ipv6: "off" }], ntp: [], timezone: "Etc/UTC" }, state: (this.overview() as { network: unknown }).network }, { ETag: '"n1"' });
      case "GET /settings": return ok({ revision: "s1", settings: { name: "studio-1", language: "en", telemetry: { enabled: true, endpoint: "https://collector.example.net:4318", interval_s: 10 }, page: { names: [] }, support: { contact: "" } } });
      case "GET /telemetry": return ok({ ...(this.overview() as { telemetry: object }).telemetry, availability: [{ resource: "path/1a", window_s: 86400, percent: 99.9991, target_percent: 99.999, error_seconds: 1 }, { resource: "path/1b", window_s: 86400, percent: 99.81, target_percent: 99.999, error_seconds: 164 }, { resource: "leg/1", window_s: 86400, percent: 100, target_percent: 99.999, error_seconds: 0 }] });
      case "GET /identity": return ok({ serial: "QT-000123", product: "Quartet", device_certificate: null, ca_certificate: null, page_certificate: { subject: "CN=quartet-qt-000123", issuer: "CN=quartet-qt-000123", not_before: "2026-11-01T00:00:00Z", not_after: "2027-02-01T00:00:00Z", sha256: "ab".repeat(32), names: ["quartet-qt-000123.local"] }, enrolment: { state: "none", renew_at: null } });
      case "GET /update": return ok({ ...(this.overview() as { update: object }).update, pin: "ab".repeat(32), history: [{ time: new Date().toISOString(), event: "found", to: "1.1.0", text: "ring all" }] });
      case "GET /users": return ok({ users: [{ name: "admin", role: "admin", created: "2026-11-01T10:00:00Z", last_login: "2026-11-26T18:00:00Z", sessions: 1 }, { name: "night-shift", role: "operator", created: "2026-11-02T10:00:00Z", last_login: null, sessions: 0 }] });
      case "GET /audit": return ok({ records: [{ number: 1, time: "2026-11-26T18:00:00Z", actor: "admin", role: "admin", source: "192.0.2.55", action: "login", outcome: "ok" }, { number: 2, time: "2026-11-26T18:01:00Z", actor: "-", source: "192.0.2.99", action: "login", outcome: "refused", detail: "wrong password" }], next: 2 });
      case "GET /logs": return ok({ lines: [{ time: "2026-11-26T18:00:00Z", unit: "quartetd", level: "info", text: "path 1a: connected" }, { time: "2026-11-26T18:00:04Z", unit: "quartetd", level: "warn", text: "path 2b: timed out" }] });
      case "GET /about": return ok({ product: "Quartet", version: "v0.4.0", go_version: "go1.26", support_until: "2031-12-31", security_contact: "security@example.net", components: [{ name: "Preact", version: "10.29.8", licence: "MIT" }] });
    }
    return problem(404, "Not found", key);
  }
}
