// A value that views watch. Small on purpose: what changes together lives in
// one store, and a view draws again when its store does.
import { useEffect, useReducer } from "preact/hooks";

export class Store<T> {
  private watchers = new Set<() => void>();
  constructor(public value: T) {}

  set(value: T): void {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const w of [...this.watchers]) w();
  }

  update(part: Partial<T>): void {
    this.set({ ...this.value, ...part });
  }

  watch(f: () => void): () => void {
    this.watchers.add(f);
    return () => this.watchers.delete(f);
  }
}

/** The store's value; the component draws again whenever it changes. */
export function useStore<T>(store: Store<T>): T {
  const [, draw] = useReducer((n: number) => n + 1, 0);
  const drawn = store.value;
  useEffect(() => {
    const stop = store.watch(() => draw(undefined));
    // Effects run after the picture is painted: what changed since it was drawn
    // would be missed otherwise.
    if (!Object.is(drawn, store.value)) draw(undefined);
    return stop;
  }, [store]);
  return drawn;
}
