// Who may sign in, and as what.
import { useState } from "preact/hooks";
import { call, get, Problem, session, signedOut } from "../api";
import { put } from "../doc";
import { ErrorSummary, FormOver, NeedsRole, SelectField, TextField } from "../form";
import { moment } from "../format";
import { t, useLanguage } from "../i18n";
import type { Doc, Issue, Role, User } from "../types";
import { Button, Confirm, Dialog, Loading, Panel, ProblemNote, say, Scroll, useFetch } from "../ui";

const roles: Role[] = ["viewer", "operator", "admin"];

export default function UsersView() {
  useLanguage();
  const u = useFetch(() => get<{ users: User[] | null }>("/users"));
  const [edit, setEdit] = useState<User | "new" | null>(null);
  const [remove, setRemove] = useState<User | null>(null);
  const me = session.value.session?.user;
  return (
    <>
      <div class="view-head">
        <h1>{t("nav.users")}</h1>
        <NeedsRole role="admin" />
      </div>
      <Panel title={t("users.list")} side={<Button kind="primary" onClick={() => setEdit("new")}>{t("users.add")}</Button>}>
        {!u.data && <Loading error={u.error} />}
        {u.data && (
          <Scroll label={t("users.list")}>
            <table class="table">
              <thead>
                <tr>
                  <th scope="col">{t("user.name")}</th>
                  <th scope="col">{t("role")}</th>
                  <th scope="col">{t("users.last")}</th>
                  <th scope="col" class="r">{t("users.sessions")}</th>
                  <th scope="col"><span class="visually-hidden">{t("actions")}</span></th>
                </tr>
              </thead>
              <tbody>
                {(u.data.users ?? []).map((x) => (
                  <tr key={x.name}>
                    <th scope="row">
                      {x.name} {x.name === me && <span class="tag">{t("users.you")}</span>}
                    </th>
                    <td>{t(`role.${x.role}`)}</td>
                    <td>{x.last_login ? moment(x.last_login) : t("never")}</td>
                    <td class="r number">{x.sessions}</td>
                    <td class="r">
                      <Button kind="quiet" label={t("users.change.name", { name: x.name })} onClick={() => setEdit(x)}>
                        {t("users.change")}
                      </Button>
                      <Button kind="quiet" label={t("users.remove.name", { name: x.name })} onClick={() => setRemove(x)}>
                        {t("remove")}
                      </Button>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        )}
      </Panel>
      <Panel title={t("roles")}>
        <dl class="facts">
          {roles.map((r) => (
            <>
              <dt>{t(`role.${r}`)}</dt>
              <dd>{t(`role.${r}.text`)}</dd>
            </>
          ))}
        </dl>
      </Panel>
      {edit && <Edit user={edit === "new" ? null : edit} onClose={() => setEdit(null)} done={() => { setEdit(null); u.reload(); }} />}
      {remove && (
        <Confirm title={t("users.remove.name", { name: remove.name })} action={t("remove")} danger onClose={() => setRemove(null)}
          run={async () => {
            await call("DELETE", "/users/" + encodeURIComponent(remove.name));
            if (remove.name === me) signedOut("left");
            else u.reload();
            say(t("users.removed", { name: remove.name }));
          }}>
          <p>{t("users.remove.text")}</p>
        </Confirm>
      )}
    </>
  );
}

function Edit({ user, onClose, done }: { user: User | null; onClose: () => void; done: () => void }) {
  const [doc, setDoc] = useState<Doc>(user ? { role: user.role } : { role: "operator" });
  const [errors, setErrors] = useState<Issue[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (e: Event) => {
    e.preventDefault();
    if (busy) return;
    setBusy(true);
    setErrors([]);
    setError(null);
    try {
      if (user) {
        const body: Doc = {};
        if (doc["role"] !== user.role) body["role"] = doc["role"] ?? null;
        if (doc["password"]) body["password"] = doc["password"];
        if (Object.keys(body).length) await call("PUT", "/users/" + encodeURIComponent(user.name), body);
        // A new password ends one's own session, too.
        if (body["password"] && user.name === session.value.session?.user) signedOut("changed");
      } else {
        await call("POST", "/users", { name: doc["name"] ?? "", role: doc["role"] ?? "", password: doc["password"] ?? "" });
      }
      say(t("form.saved"));
      done();
    } catch (x) {
      if (x instanceof Problem && x.errors.some((i) => i.path)) setErrors(x.errors);
      else setError(x);
      setBusy(false);
    }
  };
  return (
    <Dialog title={user ? t("users.change.name", { name: user.name }) : t("users.add")} onClose={onClose}>
      <FormOver doc={doc} errors={errors} set={(p, v) => setDoc((d) => put(d, p, v) as Doc)}>
        <form onSubmit={submit} noValidate>
          {errors.length > 1 && <ErrorSummary />}
          <ProblemNote error={error} />
          {!user && <TextField path="name" label={t("user.name")} required />}
          <SelectField path="role" label={t("role")} options={roles.map((r): [string, string] => [r, t(`role.${r}`)])} help={t(`role.${String(doc["role"])}.text` as "role.viewer.text")} />
          <TextField path="password" label={user ? t("users.password.new") : t("password")} help={user ? t("users.password.help") : t("password.help")} type="password" autocomplete="new-password" />
          <div class="actions">
            <Button onClick={onClose}>{t("cancel")}</Button>
            <Button type="submit" kind="primary" busy={busy}>
              {t("form.save")}
            </Button>
          </div>
        </form>
      </FormOver>
    </Dialog>
  );
}
