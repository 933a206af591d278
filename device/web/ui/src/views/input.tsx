// The feed, and what the box encodes itself.
import { call, get } from "../api";
import { at, put } from "../doc";
import { CheckField, choices, ConfigForm, loadConfig, may, More, NumberField, SchemaFields, SecretField, SelectField, tag, TextField, useForm, type Draft } from "../form";
import { maybe, t, useLanguage } from "../i18n";
import { live } from "../live";
import { useStore } from "../store";
import { useState } from "preact/hooks";
import type { Doc, Json, Preset } from "../types";
import { Badge, Button, Confirm, Note, Panel, say, useFetch } from "../ui";
import { inputLevel, LatencyBar } from "./live";
import { Latency } from "./calculator";

const types = ["sdi", "test", "udp", "rtp", "srt", "file"];
const urls: Record<string, string> = {
  sdi: "sdi:///dev/video0", test: "test://bars", udp: "udp://239.1.1.1:5000", rtp: "rtp://239.1.1.1:5000", srt: "srt://:9000", file: "file:///media/feed.ts",
};

export default function InputView() {
  useLanguage();
  return <ConfigForm title={<h1>{t("nav.input")}</h1>}>{(d) => <Body d={d} />}</ConfigForm>;
}

function Body({ d }: { d: Draft }) {
  const type = String(at(d.doc, "input.type") ?? "");
  const encoded = type === "sdi" || type === "test";
  return (
    <>
      <div class="columns">
        <div class="column">
          <InputPanel d={d} type={type} encoded={encoded} />
          {encoded && <EncoderPanel d={d} />}
        </div>
        <div class="column">
          <Now />
          <Latency d={d} />
          {d.plan && (
            <Panel title={t("plan.title")} level={2}>
              <LatencyBar p={d.plan} />
              {d.plan.problem && <Note level="major">{<p lang="en">{d.plan.problem}</p>}</Note>}
            </Panel>
          )}
        </div>
      </div>
      <Presets d={d} />
    </>
  );
}

/** What arrives at the moment, beside the settings that bring it about. */
function Now() {
  const i = useStore(live).overview?.box?.input;
  if (!i) return null;
  const services = i.monitor?.services ?? [];
  return (
    <Panel title={t("input.now")}>
      <p>
        <Badge level={inputLevel(i)}>{maybe("input." + i.state, i.state)}</Badge>
      </p>
      {i.reason && <p class="bad-text" lang="en">{i.reason}</p>}
      {services.map((s) => (
        <div key={s.number} class="service">
          <p>
            <strong>{s.name || t("service.number", { n: s.number })}</strong> {s.provider}
          </p>
          <ul class="plain">
            {(s.components ?? []).map((c) => (
              <li key={c.pid}>
                <code>{c.pid}</code> {c.kind} {c.codec} {c.language}
              </li>
            ))}
          </ul>
        </div>
      ))}
      {i.monitor && (
        <p class="quiet-text">
          TR 101 290: P1 {i.monitor.priority1_errors_total} · P2 {i.monitor.priority2_errors_total} · P3 {i.monitor.priority3_errors_total}
        </p>
      )}
    </Panel>
  );
}

function InputPanel({ d, type, encoded }: { d: Draft; type: string; encoded: boolean }) {
  const links = (useStore(live).overview?.network.links ?? []).map((l) => l.name);
  const network = type === "udp" || type === "rtp";
  const url = String(at(d.doc, "input.url") ?? "");
  return (
    <Panel title={t("stage.input")}>
      <fieldset class="cards">
        <legend>{t("input.type")}</legend>
        {types.map((k) => (
          <label class={"card" + (k === type ? " chosen" : "")} key={k}>
            <input type="radio" name="input-type" value={k} checked={k === type} disabled={!may("admin")}
              onChange={() => {
                // A URL of another kind cannot stay: its scheme is the type.
                let doc = put(d.doc, "input.type", k);
                if (!url.startsWith(k + ":")) doc = put(doc, "input.url", urls[k]);
                d.replace(doc as Doc);
              }} />
            <span>
              <strong>{t(`input.type.${k}` as "input.type.sdi")}</strong>
              <span class="help">{t(`input.type.${k}.help` as "input.type.sdi.help")}</span>
            </span>
          </label>
        ))}
      </fieldset>
      <div class="fields">
        <TextField path="input.url" label={t("input.url")} help={maybe("input.url.help." + type, "")} mono width="long" required />
        {network && <TextField path="input.interface" label={t("interface")} help={t("interface.help")} list={links} />}
        {network && <TextField path="input.source" label={t("input.source")} help={t("input.source.help")} mono />}
        {type === "srt" && (
          <>
            <SelectField path="input.mode" label={t("srt.mode")} absent={t("srt.mode.auto")} options={choices("srt.mode", ["caller", "listener"])} />
            <SecretField path="input.passphrase" label={t("passphrase")} help={t("passphrase.help")} />
            <TextField path="input.stream_id" label={t("stream-id")} mono />
            <NumberField path="input.latency_ms" label={t("srt.latency")} unit="ms" />
          </>
        )}
        {type === "sdi" && <TextField path="input.audio_device" label={t("input.audio")} help={t("input.audio.help")} mono placeholder="hw:1" />}
        <SelectField path="input.on_input_loss" label={t("input.loss")} help={t("input.loss.help")} absent={encoded ? t("loss.slate") + " *" : t("loss.null") + " *"}
          options={choices("loss", encoded ? ["slate", "null", "stop"] : ["null", "stop"])} />
        <NumberField path="input.loss_after_ms" label={t("input.loss-after")} unit="ms" />
        {!encoded && <NumberField path="input.jitter_ms" label={t("input.jitter")} help={t("input.jitter.help")} unit="ms" />}
      </div>
      {type === "rtp" && <Second />}
      <More title={t("more.expert")} paths={["input.srt", "input.monitor", "input.stop_after_ms", "input.pcr_pid", "input.fec_window_ms", "input.merge_window_ms", "input.key_length", "input.loop", "input.fec"]}>
        <div class="fields" lang="en">
          {at(d.doc, "input.on_input_loss") === "stop" && <NumberField path="input.stop_after_ms" label="stop_after_ms" unit="ms" />}
          {!encoded && <NumberField path="input.pcr_pid" label="pcr_pid" />}
          {type === "file" && <CheckField path="input.loop" label="loop" />}
          {type === "rtp" && (
            <>
              <SelectField path="input.fec" label="fec" />
              <NumberField path="input.merge_window_ms" label="merge_window_ms" unit="ms" />
              <NumberField path="input.fec_window_ms" label="fec_window_ms" unit="ms" />
            </>
          )}
          {type === "srt" && <SelectField path="input.key_length" label="key_length" />}
        </div>
        <h3>{t("monitor")}</h3>
        <SchemaFields path="input.monitor" />
        {type === "srt" && (
          <>
            <h3>SRT</h3>
            <SchemaFields path="input.srt" />
          </>
        )}
      </More>
    </Panel>
  );
}

function Second() {
  const f = useForm();
  const on = !!at(f.doc, "input.second");
  return (
    <fieldset class="group">
      <legend>{t("input.second")}</legend>
      <p class="help">{t("input.second.help")}</p>
      {on && (
        <div class="fields">
          <TextField path="input.second.url" label={t("input.url")} mono width="long" />
          <TextField path="input.second.interface" label={t("interface")} />
          <TextField path="input.second.source" label={t("input.source")} mono />
        </div>
      )}
      {!f.disabled && (
        <Button onClick={() => f.set("input.second", on ? undefined : { url: "rtp://239.1.1.2:5000" })}>{on ? t("input.second.remove") : t("input.second.add")}</Button>
      )}
    </fieldset>
  );
}

const sizes: [string, number, number, string, boolean][] = [
  ["1080i50", 1920, 1080, "25", true], ["1080p25", 1920, 1080, "25", false], ["1080p50", 1920, 1080, "50", false], ["1080i59.94", 1920, 1080, "30000/1001", true],
  ["1080p29.97", 1920, 1080, "30000/1001", false], ["1080p59.94", 1920, 1080, "60000/1001", false], ["720p50", 1280, 720, "50", false], ["720p59.94", 1280, 720, "60000/1001", false],
];

function EncoderPanel({ d }: { d: Draft }) {
  const f = useForm();
  const w = Number(at(d.doc, "encoder.width") ?? 1920), h = Number(at(d.doc, "encoder.height") ?? 1080);
  const rate = String(at(d.doc, "encoder.frame_rate") ?? "25"), inter = at(d.doc, "encoder.interlaced") === true;
  const current = sizes.find(([, a, b, r, i]) => a === w && b === h && r === rate && i === inter)?.[0] ?? "";
  const audio = at(d.doc, "encoder.audio");
  const pairs = Array.isArray(audio) ? audio : [];
  return (
    <Panel title={t("stage.encoder")}>
      <div class="fields">
        <SelectField path="encoder.profile" label={t("encoder.profile")} options={choices("encoder.profile", ["contribution-low-latency", "contribution-quality"])}
          help={maybe("encoder.profile." + String(at(d.doc, "encoder.profile") ?? "contribution-low-latency") + ".help", "")} />
        <NumberField path="encoder.bitrate_kbps" label={t("encoder.bitrate")} help={t("encoder.bitrate.help")} unit="kbit/s" />
        <SelectField path="encoder.codec" label={t("encoder.codec")} options={[["h264", "H.264 / AVC"], ["hevc", "H.265 / HEVC"]]} />
        <div class="field">
          <label for="format">{t("encoder.format")}</label>
          <div class="control">
            <select id="format" value={current} disabled={f.disabled}
              onChange={(e) => {
                const s = sizes.find(([n]) => n === e.currentTarget.value);
                if (!s) return;
                let doc: Json = d.doc;
                for (const [k, v] of [["width", s[1]], ["height", s[2]], ["frame_rate", s[3]], ["interlaced", s[4]]] as const) doc = put(doc, "encoder." + k, v);
                d.replace(doc as Doc);
              }}>
              {current === "" && <option value="">{`${w} × ${h}, ${rate}${inter ? " i" : ""}`}</option>}
              {sizes.map(([n]) => (
                <option key={n} value={n}>
                  {n}
                </option>
              ))}
            </select>
          </div>
          <p class="help">{t("encoder.format.help")}</p>
        </div>
        <SelectField path="encoder.slate" label={t("encoder.slate")} options={choices("slate", ["bars", "black", "last", "image"])} help={t("encoder.slate.help")} />
        {at(d.doc, "encoder.slate") === "image" && <TextField path="encoder.slate_image" label={t("encoder.slate-image")} mono />}
        <TextField path="encoder.service.name" label={t("encoder.service")} help={t("encoder.service.help")} />
      </div>
      <fieldset class="group">
        <legend>{t("encoder.audio")}</legend>
        <CheckField path="encoder.no_sound" label={t("encoder.no-sound")} />
        {pairs.map((_, i) => (
          <div class="fields row" key={i}>
            <NumberField path={`encoder.audio[${i}].pair`} label={t("audio.pair")} />
            <SelectField path={`encoder.audio[${i}].codec`} label={t("audio.codec")} options={[["aac", "AAC"], ["mp2", "MPEG-1 Layer II"], ["ac3", "AC-3"]]} />
            <NumberField path={`encoder.audio[${i}].bitrate_kbps`} label={t("bitrate")} unit="kbit/s" />
            <NumberField path={`encoder.audio[${i}].pid`} label="PID" />
            <TextField path={`encoder.audio[${i}].language`} label={t("audio.language")} width="short" placeholder="eng" />
            {!f.disabled && (
              <div class="field">
                <Button kind="quiet" label={t("audio.remove", { n: i + 1 })} onClick={() => f.set("encoder.audio", pairs.length > 1 ? pairs.filter((_, k) => k !== i) : undefined)}>
                  {t("remove")}
                </Button>
              </div>
            )}
          </div>
        ))}
        {!pairs.length && <p class="help">{t("audio.default")}</p>}
        {!f.disabled && pairs.length < 8 && (
          <Button onClick={() => f.set("encoder.audio", [...pairs, { pair: pairs.length + 1, pid: 258 + pairs.length }])}>{t("audio.add")}</Button>
        )}
      </fieldset>
      <More title={t("more.expert")} paths={["encoder.element", "encoder.chroma", "encoder.bit_depth", "encoder.gop_frames", "encoder.vbv_ms", "encoder.preset", "encoder.b_frames", "encoder.lookahead_frames", "encoder.threads", "encoder.memory_limit_mib", "encoder.width", "encoder.height", "encoder.frame_rate", "encoder.service"]}>
        <SchemaFields path="encoder" skip={["profile", "bitrate_kbps", "codec", "slate", "slate_image", "no_sound"]} />
        <h3>{t("encoder.service")}</h3>
        <SchemaFields path="encoder.service" skip={["name"]} />
      </More>
    </Panel>
  );
}

function Presets({ d }: { d: Draft }) {
  const p = useFetch(() => get<{ presets: Preset[] | null }>("/presets"));
  const [apply, setApply] = useState<Preset | null>(null);
  const list = p.data?.presets ?? [];
  if (!list.length) return null;
  return (
    <Panel title={t("presets")}>
      <p class="help">{t("presets.help")}</p>
      <ul class="rows">
        {list.map((x) => (
          <li key={x.name}>
            <div>
              <strong>{x.name}</strong> {x.builtin && <span class="tag">{t("presets.builtin")}</span>}
              <p class="help" lang={x.builtin ? "en" : undefined}>{x.description}</p>
            </div>
            {may("admin") && (
              <Button disabled={d.dirty} onClick={() => setApply(x)} label={t("presets.apply.name", { name: x.name })}>
                {t("presets.apply")}
              </Button>
            )}
          </li>
        ))}
      </ul>
      {apply && (
        <Confirm title={t("presets.apply.name", { name: apply.name })} action={t("presets.apply")} onClose={() => setApply(null)}
          run={async () => {
            const c = await call<{ revision: string }>("GET", "/config");
            await call("POST", `/presets/${encodeURIComponent(apply.name)}/apply`, undefined, { ifMatch: tag(c.data.revision) });
            await loadConfig();
            say(t("presets.applied", { name: apply.name }));
          }}>
          <p>{t("presets.apply.text")}</p>
          <pre class="block">{JSON.stringify(apply.document, null, 2)}</pre>
        </Confirm>
      )}
    </Panel>
  );
}
