/** Parts of the portal whose code is fetched with their first use, so that the first page is there soon. */
import { type ComponentType, lazy, type LazyExoticComponent } from "react";

/** Return the component of a module that is loaded when it is first shown; what shows it stands in a `Suspense`. */
export function lazily<Name extends string, Props>(name: Name, load: () => Promise<Record<Name, ComponentType<Props>>>): LazyExoticComponent<ComponentType<Props>> {
  return lazy(async () => ({ default: (await load())[name] }));
}
