// What is done now and then: help, moving a configuration, starting again.
import { useRef, useState } from "preact/hooks";
import { call, download, get, Problem } from "../api";
import { box } from "../app";
import { issueText, loadConfig, may, NeedsRole, tag } from "../form";
import { t, useLanguage } from "../i18n";
import type { ConfigAnswer, Identity, Issue, SaveAnswer } from "../types";
import { Button, Confirm, Note, Panel, ProblemNote, say } from "../ui";
import { ListField, TextField, SelectField } from "../form";
import { SettingsForm } from "./settings";

export default function MaintenanceView() {
  useLanguage();
  return (
    <>
      <div class="view-head">
        <h1>{t("nav.maintenance")}</h1>
        <NeedsRole role={may("operator") ? "admin" : "operator"} />
      </div>
      <div class="columns even">
        <div class="column">
          <Support />
          <Identify />
          <SettingsForm title={t("page.settings")}>
            <TextField path="name" label={t("page.name")} help={t("page.name.help")} />
            <SelectField path="language" label={t("page.language")} options={[["en", "English"], ["de", "Deutsch"]]} />
            <ListField path="page.names" label={t("page.names")} help={t("page.names.help")} placeholder="encoder-1.example.net" />
            <TextField path="support.contact" label={t("page.contact")} width="long" />
          </SettingsForm>
        </div>
        <div class="column">
          <Move />
          <Again />
        </div>
      </div>
    </>
  );
}

function useBusy() {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const run = async (f: () => Promise<unknown>) => {
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      await f();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return { busy, error, run };
}

const day = () => new Date().toISOString().slice(0, 10);

function Support() {
  const b = useBusy();
  return (
    <Panel title={t("bundle")}>
      <p>{t("bundle.text")}</p>
      <ProblemNote error={b.error} />
      <div class="actions start">
        <Button id="bundle" kind="primary" busy={b.busy} disabled={!may("operator")}
          onClick={() => void b.run(async () => {
            await download("POST", "/support-bundle", `quartet-${box.value.state?.serial ?? "box"}-${day()}.zip`);
            say(t("bundle.done"));
          })}>
          {b.busy ? t("bundle.busy") : t("bundle.action")}
        </Button>
      </div>
    </Panel>
  );
}

function Identify() {
  const b = useBusy();
  const blink = (seconds: number) => b.run(async () => {
    await call("POST", "/identify", { seconds });
    say(seconds ? t("identify.done", { n: seconds }) : t("identify.stopped"));
  });
  return (
    <Panel title={t("identify")}>
      <p>{t("identify.text")}</p>
      <ProblemNote error={b.error} />
      <div class="actions start">
        <Button id="identify" busy={b.busy} disabled={!may("operator")} onClick={() => void blink(30)}>
          {t("identify.action")}
        </Button>
        <Button disabled={!may("operator")} onClick={() => void blink(0)}>
          {t("identify.stop")}
        </Button>
      </div>
    </Panel>
  );
}

function Move() {
  const b = useBusy();
  const file = useRef<HTMLInputElement>(null);
  const [chosen, setChosen] = useState<File | null>(null);
  const [errors, setErrors] = useState<Issue[]>([]);
  const [missing, setMissing] = useState<string[]>([]);
  const [rollback, setRollback] = useState(false);
  const current = async () => tag((await get<ConfigAnswer>("/config")).revision);
  const send = (restart = false) => b.run(async () => {
    if (!chosen) return;
    setErrors([]);
    setMissing([]);
    try {
      const a = await call<SaveAnswer>("POST", "/config/import" + (restart ? "?restart=true" : ""), await chosen.text(), { ifMatch: await current() });
      setMissing(a.data.missing_secrets ?? []);
      setChosen(null);
      if (file.current) file.current.value = "";
      await loadConfig();
      say(t("import.done"));
    } catch (e) {
      if (e instanceof Problem && e.errors.length) setErrors(e.errors);
      else throw e;
    }
  });
  const restart = b.error instanceof Problem && Array.isArray(b.error.body["needs_restart"]);
  return (
    <Panel title={t("move")}>
      <p>{t("move.text")}</p>
      <div class="actions start">
        <Button id="export" disabled={!may("admin")} onClick={() => void b.run(() => download("GET", "/config/export", `quartet-${box.value.state?.serial ?? "box"}-${day()}.json`))}>
          {t("export")}
        </Button>
        <Button disabled={!may("admin")} onClick={() => setRollback(true)}>
          {t("rollback")}
        </Button>
      </div>
      {may("admin") && (
        <>
          <div class={"field" + (errors.length ? " bad" : "")}>
            <label for="import">{t("import.file")}</label>
            <input id="import" ref={file} type="file" accept=".json,application/json" aria-describedby={errors.length ? "import-errors" : undefined} aria-invalid={errors.length > 0 || undefined}
              onChange={(e) => {
                setChosen(e.currentTarget.files?.[0] ?? null);
                setErrors([]);
              }} />
          </div>
          {errors.length > 0 && (
            <div id="import-errors" class="note-box critical" role="alert">
              <div>
                <p class="note-title">{t("import.refused", { n: errors.length })}</p>
                <ul lang="en">
                  {errors.map((e) => (
                    <li key={e.path + e.problem}>
                      {e.path && <code>{e.path}</code>} {issueText(e)}
                    </li>
                  ))}
                </ul>
              </div>
            </div>
          )}
          <div class="actions start">
            <Button id="import-send" kind="primary" busy={b.busy} disabled={!chosen} onClick={() => void send()}>
              {t("import")}
            </Button>
            {restart && (
              <Button kind="danger" busy={b.busy} onClick={() => void send(true)}>
                {t("restart.save")}
              </Button>
            )}
          </div>
        </>
      )}
      {!!b.error && <ProblemNote error={b.error} />}
      {missing.length > 0 && (
        <Note level="warning" title={t("import.missing", { n: missing.length })}>
          <ul>
            {missing.map((m) => (
              <li key={m}>
                <code>{m}</code>
              </li>
            ))}
          </ul>
        </Note>
      )}
      {rollback && (
        <Confirm title={t("rollback.title")} action={t("rollback")} onClose={() => setRollback(false)}
          run={async () => {
            await call("POST", "/config/rollback", undefined, { ifMatch: await current() });
            await loadConfig();
            say(t("rollback.done"));
          }}>
          <p>{t("rollback.text")}</p>
        </Confirm>
      )}
    </Panel>
  );
}

function Again() {
  const [ask, setAsk] = useState<"reboot" | "reset" | null>(null);
  const [serial, setSerial] = useState(box.value.state?.serial ?? "");
  return (
    <Panel title={t("again")}>
      <p>{t("reboot.text")}</p>
      <div class="actions start">
        <Button disabled={!may("admin")} onClick={() => setAsk("reboot")}>
          {t("reboot")}
        </Button>
      </div>
      <h3>{t("reset")}</h3>
      <p>{t("reset.text")}</p>
      <div class="actions start">
        <Button id="reset" kind="danger" disabled={!may("admin")}
          onClick={async () => {
            if (!serial) setSerial(await get<Identity>("/identity").then((i) => i.serial, () => ""));
            setAsk("reset");
          }}>
          {t("reset.action")}
        </Button>
      </div>
      {ask === "reboot" && (
        <Confirm title={t("reboot.title")} action={t("reboot")} danger onClose={() => setAsk(null)}
          run={async () => {
            await call("POST", "/reboot");
            say(t("reboot.done"), "info");
          }}>
          <p>{t("reboot.confirm")}</p>
        </Confirm>
      )}
      {ask === "reset" && (
        <Confirm title={t("reset.title")} action={t("reset.action")} danger word={serial} wordLabel={t("reset.type", { serial })} onClose={() => setAsk(null)}
          run={async () => {
            await call("POST", "/factory-reset", { serial });
            say(t("reset.done"), "info");
            // The box comes back without users: the claim is all that it shows.
            setTimeout(() => {
              location.hash = "";
              location.reload();
            }, 3000);
          }}>
          <p>{t("reset.confirm")}</p>
        </Confirm>
      )}
    </Panel>
  );
}
