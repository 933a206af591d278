// What the API says. Fields that a box without the part does not send are
// optional; the page shows "not known" for them, never a zero.

export type Role = "viewer" | "operator" | "admin";
export type Severity = "info" | "warning" | "minor" | "major" | "critical";

export interface Issue {
  path: string;
  value: string;
  problem: string;
  remedy: string;
}

export interface State {
  claimed: boolean;
  name: string;
  serial: string;
  product: string;
  version: string;
  time: string;
  clock_synchronised: boolean;
  languages: string[];
  language: string;
}

export interface Session {
  user: string;
  role: Role;
  idle_s: number;
  expires: string;
}

export interface Condition {
  id: string;
  code: string;
  resource: string;
  severity: Severity;
  text: string;
  remedy?: string;
  active: boolean;
  masked?: boolean;
  value?: number;
  unit?: string;
  count: number;
  first_raised: string;
  raised: string;
  changed: string;
  cleared?: string | null;
  source?: string;
}

export interface Engine {
  up: boolean;
  reason?: string;
  encoder: string;
  on_air: string;
  input_present: boolean;
  starts_total: number;
  frames_captured_total: number;
  late_frames_total: number;
  rate_bps: number;
  lead_ms: number;
  delay_ms: number;
  memory_mib: number;
  slate_seconds_total: number;
  last_outage_ms: number;
  peak_db?: number[];
  rms_db?: number[];
}

export interface StreamComponent {
  pid: number;
  kind: string;
  codec?: string;
  language?: string;
}

export interface Monitor {
  synced: boolean;
  bitrate_bps: number;
  null_share: number;
  priority1_errors_total: number;
  priority2_errors_total: number;
  priority3_errors_total: number;
  checks?: { clause: string; name: string; priority: number; measured: boolean; active: boolean; errors_total: number }[] | null;
  services?: { number: number; name?: string; provider?: string; components: StreamComponent[] | null }[] | null;
}

export interface Seen {
  active: boolean;
  since?: string;
  length_s: number;
  total: number;
}

export interface Confidence {
  watched: boolean;
  reason?: string;
  age_ms: number;
  picture?: { luma_percent: number; is_bars: boolean; black: Seen; freeze: Seen; bars: Seen };
  sound?: {
    momentary_lufs: number;
    short_term_lufs: number;
    integrated_lufs: number;
    range_lu: number;
    measured_s: number;
    channels: { peak_db: number; rms_db: number; true_peak_dbtp: number; true_peak_max_dbtp: number; silence: Seen; clips_total: number }[] | null;
  }[];
}

export interface Input {
  type: string;
  url: string;
  state: string;
  reason?: string;
  on_input_loss: string;
  filling: boolean;
  bitrate_bps: number;
  jitter_ms: number;
  continuity_errors_total: number;
  transport_errors_total: number;
  losses_total: number;
  engine?: Engine;
  confidence?: Confidence;
  legs?: { url: string; state: string; received_total: number; missing_total: number }[];
  monitor?: Monitor;
}

export interface Merged {
  delivered_total: number;
  by_parity_total: number;
  lost_total: number;
  margin_ms: number;
  latency_ms: number;
  bitrate_bps: number;
}

export interface Arrival {
  age_ms: number;
  received_total: number;
  lost_here_total: number;
  by_other_total: number;
  by_parity_total: number;
  unrecovered_total: number;
  late_total: number;
  bad_tag_total: number;
  skew_ms: number;
  jitter_ms: number;
  loss_percent: number;
  merged: Merged;
  digest: { compared_total: number; equal_total: number; different_total: number };
}

export interface PathStatus {
  name: string;
  leg: number;
  merge_group?: string;
  profile: string;
  state: string;
  reason?: string;
  up_s: number;
  remote?: string;
  local?: string;
  interface?: string;
  encrypted: boolean;
  bitrate_bps: number;
  rtt_ms: number;
  srt_latency_ms: number;
  stagger_ms: number;
  sent_total: number;
  send_loss_total: number;
  send_loss_percent: number;
  retransmits_total: number;
  send_dropped_total: number;
  queue_dropped_total: number;
  connects_total: number;
  disconnects_total: number;
  arrival?: Arrival;
  arrival_unknown?: string;
}

export interface Plan {
  k: number;
  rows_per_stream: number;
  streams: number;
  max_block_ms: number;
  fec_bound_ms: number;
  srt_latency_ms: number;
  stagger_ms: number;
  reserve_ms: number;
  latency_ms: number;
  spare_ms: number;
  arq_rounds: number;
  overhead_percent: number;
  overhead_measured_percent?: number;
  wire_bps: number;
  problem?: string;
  notes?: string[] | null;
}

export interface BoxStatus {
  name: string;
  version: string;
  time: string;
  uptime_s: number;
  input: Input;
  output: { monitor?: Monitor };
  plan: Plan;
  paths: PathStatus[] | null;
  worst: Severity;
  conditions: Condition[] | null;
}

export interface System {
  cpu_percent: number;
  memory_mib: number;
  memory_total_mib: number;
  temperature_c: number | null;
  uptime_s: number;
  boot_id: string;
  load1: number;
}

export interface Overview {
  time: string;
  name: string;
  box: BoxStatus | null;
  box_error?: string;
  worst: Severity;
  conditions: Condition[] | null;
  system: System;
  telemetry: TelemetryState;
  network: NetworkState;
  shared_interfaces: { interface: string; paths: string[] }[] | null;
  config_revision: string;
  update: Update;
}

// A document of the configuration is handled as what it is, JSON: its schema
// comes from the box.
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Doc = { [key: string]: Json };

export interface ConfigAnswer {
  revision: string;
  saved: boolean;
  document: Doc;
  warnings: Issue[] | null;
  saved_at: string | null;
  saved_by?: string;
}

export interface SaveAnswer {
  revision: string;
  changed: string[] | null;
  warnings: Issue[] | null;
  applied: boolean;
  restarted: boolean;
  note?: string;
  missing_secrets: string[] | null;
}

export interface CheckAnswer {
  ok: boolean;
  errors: Issue[] | null;
  warnings: Issue[] | null;
  plan: Plan | null;
  needs_restart: string[] | null;
}

export interface Preset {
  name: string;
  builtin: boolean;
  description: string;
  document: Doc;
}

export interface Destination {
  ok: boolean;
  errors: Issue[] | null;
  path: {
    profile: string;
    url: string;
    host: string;
    port: number;
    mode: string;
    stream_id?: string;
    key_length?: number;
    latency_ms?: number;
  } | null;
  secrets: string[] | null;
}

export interface Preflight {
  path: string;
  ok: boolean;
  steps: { name: string; ok: boolean; text: string; remedy?: string }[] | null;
  largest_bytes?: number;
  ts_packets_per_message?: number;
}

export interface NetworkConfig {
  revision: string;
  settings: Doc;
  state: NetworkState;
}

export interface NetworkState {
  links: Link[] | null;
  pending: Pending | null;
  error?: string;
  clock_synchronised: boolean;
  time_server?: string;
}

export interface Link {
  name: string;
  mac?: string;
  kind?: string;
  up: boolean;
  carrier: boolean;
  speed_mbps: number;
  mtu: number;
  addresses: string[] | null;
  gateways: string[] | null;
  dns: string[] | null;
  rx_bps: number;
  tx_bps: number;
  rx_errors_total: number;
  tx_errors_total: number;
}

export interface Pending {
  deadline: string;
  remaining_s: number;
  changed: string[] | null;
  addresses: string[] | null;
  moved: boolean;
}

export interface Trial {
  token: string;
  deadline: string;
  remaining_s: number;
  addresses: string[] | null;
}

export interface TelemetryState {
  state: "off" | "ok" | "waiting" | "failing";
  endpoint?: string;
  queued_records: number;
  queued_bytes: number;
  oldest_queued: string | null;
  last_contact: string | null;
  last_error?: string;
  gaps: number;
}

export interface Availability {
  resource: string;
  window_s: number;
  percent: number;
  target_percent: number;
  error_seconds: number;
}

export interface Telemetry extends TelemetryState {
  availability: Availability[] | null;
}

export interface Update {
  available: boolean;
  reason?: string;
  running_version: string;
  board?: string;
  slots: { name: string; state: string; version?: string; next: boolean }[] | null;
  phase: "idle" | "available" | "ready" | "installing" | "installed" | "restarting" | "trial" | "going-back";
  offer: { version: string; downgrade: boolean; ring?: string; upload: boolean; notes?: string; bytes: number; found: string } | null;
  progress: { what: "download" | "install"; percent: number; done: number; total: number; text?: string } | null;
  waits: { why: string; text: string; until: string | null } | null;
  trial: { from: string; to: string; stage: string; outcome?: string; text?: string } | null;
  mode: string;
  windows: string[] | null;
  zone: string;
  defer_until: string | null;
  deferred_by?: string;
  repository: boolean;
  last_check: string | null;
  check_error?: string;
  next_check: string | null;
  sibling: { held: boolean; wanted: string | null; denied?: string } | null;
  refused: { version: string; code: string; text: string }[] | null;
  clock_good: boolean;
}

export interface UpdateInfo extends Update {
  pin: string;
  history: { time: string; event: string; from?: string; to?: string; actor?: string; text?: string }[] | null;
}

export interface History {
  step_s: number;
  from: string;
  series: Record<string, { unit: string; points: (number | null)[] | null }>;
}

export interface User {
  name: string;
  role: Role;
  created: string;
  last_login: string | null;
  sessions: number;
}

export interface AuditRecord {
  number: number;
  time: string;
  boot_id?: string;
  actor: string;
  role?: string;
  source: string;
  action: string;
  target?: string;
  outcome: string;
  detail?: string;
}

export interface SettingsAnswer {
  revision: string;
  settings: Doc;
}

export interface Certificate {
  subject: string;
  issuer: string;
  not_before: string;
  not_after: string;
  sha256: string;
  names: string[] | null;
}

export interface Identity {
  serial: string;
  product: string;
  device_key?: string;
  device_certificate: Certificate | null;
  ca_certificate: Certificate | null;
  page_certificate: Certificate | null;
  enrolment: { state: "none" | "request" | "enrolled" | "failing"; url?: string; renew_at: string | null; last_error?: string };
}

export interface LogLine {
  time: string;
  unit: string;
  level: string;
  text: string;
}

export interface About {
  product: string;
  version: string;
  go_version: string;
  support_until: string;
  security_contact: string;
  support_contact?: string;
  components: { name: string; version?: string; licence: string }[] | null;
}
