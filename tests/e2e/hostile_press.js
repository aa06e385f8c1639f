/**
 * Writes into what lies on top of a page, and presses the first thing of it that was not pressed yet.
 *
 * Things of one kind are one: the button of every row of a list is pressed in the first row, and in the first one that
 * shows something of another kind. The kind is what a button is called up to the first name in it. `pressed` has what was pressed, `home` is the path of the page, `word` a hostile text.
 */
({ pressed, home, word }) => {
  const isSeen = (each) => each.checkVisibility({ visibilityProperty: true });
  const isOpen = (each) => each.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const kindOf = (text) => (/^[A-Za-z '’…/-]*/.exec(text.trim())?.[0] ?? "").trim();

  const label = (each) => document.getElementById(each.getAttribute("aria-labelledby") ?? "")?.textContent ?? each.getAttribute("aria-label") ?? "";
  const layers = ["listbox", "menu", "dialog"].flatMap((role) => [...document.querySelectorAll(`[role=${role}]`)].filter(isOpen).slice(-1));
  const [top] = layers;
  const roots = top ? [top] : [...document.querySelectorAll("main, section[aria-label=Uploads]")];
  const page = `page${new URLSearchParams(location.search).has("open") ? " of a file" : ""}`;
  const layer = top ? `${top.role} ${kindOf(label(top))}`.trim() : location.pathname === home ? page : "elsewhere";
  if (layer === "elsewhere") return { layer, keys: [], key: null };
  const all = (selector) => roots.flatMap((root) => [...root.querySelectorAll(selector)]).filter(isSeen);

  // React hears of a value that its own setter has not put there.
  const write = (field, value) => {
    const { set } = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value");
    set.call(field, value);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const wordFor = (field) => {
    const asked = `${field.labels?.[0]?.textContent ?? ""} ${field.ariaLabel ?? ""} ${field.type} ${field.inputMode}`;
    if (/to confirm/i.test(asked)) return document.querySelector("h1").textContent;
    if (/mail/i.test(asked)) return "'{{window.hostile=3}}'@evil.invalid";
    return /numeric|decimal/.test(asked) ? "4321" : word;
  };
  const isFilter = (field) => /search|filter|find/i.test(`${field.type} ${field.ariaLabel} ${field.placeholder} ${field.labels?.[0]?.textContent}`);
  for (const field of all("input, textarea"))
    if (/^(text|email|password|textarea|search)$/.test(field.type) && field.role !== "combobox" && !field.disabled && !field.readOnly && !field.dataset.written) {
      field.dataset.written = "true";
      if (!top && isFilter(field)) continue;
      if (field.value === "") write(field, wordFor(field));
      // What stands there is kept, and becomes something else: else there is nothing to save.
      else if (top && !/^[\d.]+$/.test(field.value)) write(field, `${field.value}x`);
    }
  const [text] = all(".cm-content[contenteditable=true]");
  if (text && !text.dataset.written) {
    text.dataset.written = "true";
    text.focus();
    document.execCommand("insertText", false, word);
  }

  const isOff = (each) => each.disabled || each.ariaDisabled === "true" || each.closest("[data-disabled], [inert]") !== null;
  const rowOf = (each) => each.closest("[role=row], li")?.querySelector("[data-kind]")?.dataset.kind ?? "";
  // What stands above all tabs is pressed on the first of them.
  const partOf = (each) => (!top && document.querySelector("[role=tabpanel]") && !each.closest("[role=tabpanel]") ? "frame" : layer);
  const keyOf = (each) => `${partOf(each)} ${rowOf(each)}> ${each.role === "option" ? "an option" : kindOf(each.ariaLabel ?? (each.innerText || each.labels?.[0]?.textContent || ""))}`;
  const pressable = "button:not([role=tab]), [role=menuitem]:not(a), [role=menuitemcheckbox], [role=option]:not([aria-selected=true]), [role=combobox], input[type=checkbox], input[type=radio]";
  const found = all(pressable).filter((each) => !isOff(each)).map((each) => ({ each, key: keyOf(each) })).filter(({ key }) => !/> (Cancel|Close|Stay)$/.test(key));
  const next = found.find(({ key }) => !pressed.includes(key));
  // What opens beside it closes again where it is out of sight.
  next?.each.scrollIntoView({ block: "center" });
  // A list is closed by a key, where the focus is at what has opened it.
  next?.each.focus({ preventScroll: true });
  next?.each.click();
  return { layer, keys: found.map(({ key }) => key), key: next?.key ?? null };
}
