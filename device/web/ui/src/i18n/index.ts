// Languages. The English catalogue is the list of all messages; another one is
// complete or does not compile. Words of the box itself (problems, remedies)
// come in English; those of conditions are translated by their code.
import { Store, useStore } from "../store";
import type { Condition } from "../types";
import { en } from "./en";

export type Key = keyof typeof en;
export type Catalogue = Record<Key, string>;
export type Language = "en" | "de";

/** A condition's words: "from" is the English text that they stand for. */
export type Conditions = Record<string, { from: string; text: string; remedy: string }>;

export const languages: Record<Language, string> = { en: "English", de: "Deutsch" };

let words: Catalogue = en;
let conditions: Conditions = {};
export const language = new Store<Language>("en");

const remembered = "quartet.language";

/** The language that was chosen here, else one that the browser asks for, else
 * the box's. */
export function wanted(otherwise: Language): Language {
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(remembered);
  } catch {
    // Storage may be switched off; the browser's own languages decide then.
  }
  for (const l of [stored, ...navigator.languages]) {
    const short = (l ?? "").slice(0, 2);
    if (short in languages) return short as Language;
  }
  return otherwise;
}

export async function setLanguage(l: Language, remember = false): Promise<void> {
  if (l === "de") {
    const m = await import("./de");
    words = m.de;
    conditions = m.conditions;
  } else {
    words = en;
    conditions = {};
  }
  document.documentElement.lang = l;
  if (remember) {
    try {
      localStorage.setItem(remembered, l);
    } catch {
      // See above.
    }
  }
  language.set(l);
}

export type Values = Record<string, string | number>;

/** The message, with {name} replaced. A message with a count n has a second
 * form for one, under its key with ".one". */
export function t(key: Key, values?: Values): string {
  let text = words[key];
  if (values) {
    if (values["n"] === 1 && key + ".one" in words) text = words[(key + ".one") as Key];
    text = text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
  }
  return text;
}

/** The message whose key is put together at run time; the second if there is none. */
export function maybe(key: string, otherwise: string): string {
  return key in words ? words[key as Key] : otherwise;
}

/** Draws again when the language changes. */
export const useLanguage = () => useStore(language);

export interface Words {
  text: string;
  remedy: string;
  lang?: string; // of the text, where it is not the page's
}

export function conditionWords(c: Condition): Words {
  const own = conditions[c.code];
  if (language.value === "en") return { text: c.text, remedy: c.remedy ?? "" };
  if (own && c.text.startsWith(own.from)) return { text: own.text + c.text.slice(own.from.length), remedy: c.remedy ? own.remedy : "" };
  return { text: c.text, remedy: c.remedy ?? "", lang: "en" };
}
