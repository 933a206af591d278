// Latency and redundancy: the settings that all paths share, and a calculator
// that answers "what would it take" without changing anything.
import { useEffect, useState } from "preact/hooks";
import { call, Problem } from "../api";
import { at, put } from "../doc";
import { FormOver, may, More, NumberField, SchemaFields, SecretField, type Draft } from "../form";
import { mbps, num, whole } from "../format";
import { t } from "../i18n";
import type { Doc, Issue, Plan } from "../types";
import { Note, Panel, ProblemNote, Value } from "../ui";
import { LatencyBar } from "./live";

/** The settings of the output. */
export function Latency({ d }: { d: Draft }) {
  return (
    <Panel title={t("output")}>
      <div class="fields">
        <NumberField path="output.latency_ms" label={t("output.latency")} help={t("output.latency.help")} unit="ms" />
        <NumberField path="output.overhead_percent" label={t("output.overhead")} help={t("output.overhead.help")} unit="%" />
        <NumberField path="output.max_bitrate_kbps" label={t("output.max")} help={t("output.max.help")} unit="kbit/s" />
      </div>
      <More title={t("output.network")} paths={["output.rtt_ms", "output.loss_percent", "output.skew_ms", "output.peer_hop_ms"]}>
        <div class="fields">
          <NumberField path="output.rtt_ms" label={t("plan.rtt")} unit="ms" />
          <NumberField path="output.loss_percent" label={t("plan.loss")} unit="%" />
          <NumberField path="output.skew_ms" label={t("plan.skew")} help={t("plan.skew.help")} unit="ms" />
          <NumberField path="output.peer_hop_ms" label={t("plan.hop")} help={t("plan.hop.help")} unit="ms" />
        </div>
      </More>
      <More title={t("output.key")} paths={["output.key", "output.next_key", "output.previous_key"]}>
        <div class="fields">
          <SecretField path="output.key" label={t("key")} help={t("key.help")} width="long" />
          <SecretField path="output.next_key" label={t("key.next")} help={t("key.next.help")} width="long" />
          <SecretField path="output.previous_key" label={t("key.previous")} help={t("key.previous.help")} width="long" />
        </div>
      </More>
      <More title={t("more.expert")} paths={["output.fec", "output.ts_packets_per_message"]}>
        <div class="fields" lang="en">
          <NumberField path="output.ts_packets_per_message" label="ts_packets_per_message" />
        </div>
        <SchemaFields path="output.fec" />
      </More>
      {d.plan?.problem && (
        <Note level="major" title={t("plan.none")} alert>
          <p lang="en">{d.plan.problem}</p>
        </Note>
      )}
    </Panel>
  );
}

const fields = ["latency_ms", "overhead_percent", "max_bitrate_kbps", "rtt_ms", "loss_percent", "skew_ms", "peer_hop_ms"] as const;

export function Calculator({ doc, paths, worstRTT }: { doc: Doc; paths: number; worstRTT: number }) {
  const [q, setQ] = useState<Doc>(() => {
    const q: Doc = { latency_ms: 500, overhead_percent: 10, max_bitrate_kbps: 20000, rtt_ms: 50, loss_percent: 1, skew_ms: 10, peer_hop_ms: 20, paths: Math.max(1, paths) };
    for (const k of fields) {
      const v = at(doc, "output." + k);
      if (v !== undefined) q[k] = v;
    }
    return q;
  });
  const [plan, setPlan] = useState<Plan | null>(null);
  const [errors, setErrors] = useState<Issue[]>([]);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    if (!may("operator")) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      call<Plan>("POST", "/plan", q, { signal: stop.signal }).then(
        (a) => {
          setPlan(a.data);
          setErrors([]);
          setError(null);
        },
        (e: unknown) => {
          if (stop.signal.aborted) return;
          setPlan(null);
          const list = e instanceof Problem ? e.errors.map((i) => ({ ...i, path: i.path.replace(/^output\./, "") })) : [];
          setErrors(list);
          setError(list.length ? null : e);
        },
      );
    }, 300);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [q]);
  return (
    <Panel title={t("calculator")}>
      <p class="help">
        {t("calculator.help")} {worstRTT > 0 && t("calculator.rtt", { n: Math.ceil(worstRTT) })}
      </p>
      <FormOver doc={q} errors={errors} disabled={!may("operator")} set={(p, v) => setQ((d) => put(d, p, v) as Doc)}>
        {/* It lies in the form that saves: Enter is not to save here. */}
        <div class="fields compact" onKeyDown={(e) => { if (e.key === "Enter") e.preventDefault(); }}>
          <NumberField path="latency_ms" label={t("output.latency")} unit="ms" />
          <NumberField path="overhead_percent" label={t("output.overhead")} unit="%" />
          <NumberField path="max_bitrate_kbps" label={t("output.max")} unit="kbit/s" />
          <NumberField path="rtt_ms" label={t("plan.rtt")} unit="ms" />
          <NumberField path="loss_percent" label={t("plan.loss")} unit="%" />
          <NumberField path="skew_ms" label={t("plan.skew")} unit="ms" />
          <NumberField path="peer_hop_ms" label={t("plan.hop")} unit="ms" />
          <NumberField path="paths" label={t("plan.paths")} />
        </div>
      </FormOver>
      <div aria-live="polite">
        {error !== null && <ProblemNote error={error} />}
        {errors.filter((e) => !(e.path in q)).map((e) => (
          <Note level="major" title={t("plan.none")} key={e.problem}>
            <p lang="en">
              {e.problem}
              {e.remedy && "; " + e.remedy}
            </p>
          </Note>
        ))}
        {plan && <PlanResult p={plan} />}
      </div>
    </Panel>
  );
}

export function PlanResult({ p }: { p: Plan }) {
  if (p.problem) {
    return (
      <Note level="major" title={t("plan.none")}>
        <p lang="en">{p.problem}</p>
      </Note>
    );
  }
  return (
    <>
      <LatencyBar p={p} />
      <dl class="values legend">
        <Value label={<><i class="key latency-srt" /> {t("latency.srt")}</>} value={whole(p.srt_latency_ms)} unit="ms" note={p.arq_rounds > 0 ? t("plan.rounds", { n: num(p.arq_rounds, 1) }) : ""} />
        <Value label={<><i class="key latency-spare" /> {t("latency.spare")}</>} value={whole(p.spare_ms)} unit="ms" />
        <Value label={<><i class="key latency-stagger" /> {t("latency.stagger")}</>} value={whole(p.stagger_ms)} unit="ms" />
        <Value label={<><i class="key latency-fec" /> {t("latency.fec")}</>} value={whole(p.fec_bound_ms)} unit="ms" />
        <Value label={<><i class="key latency-reserve" /> {t("latency.reserve")}</>} value={whole(p.reserve_ms)} unit="ms" />
        <Value label={t("plan.code")} value={p.rows_per_stream > 0 ? `${p.k} + ${p.rows_per_stream} × ${p.streams}` : t("fec.off")} />
        <Value label={t("plan.wire")} value={mbps(p.wire_bps)} unit="Mbit/s" note={t("plan.wire.note")} />
      </dl>
      {(p.notes ?? []).map((n) => (
        <Note level="info" key={n}>
          <p lang="en">{n}</p>
        </Note>
      ))}
    </>
  );
}
