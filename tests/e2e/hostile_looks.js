/** What is wrong with a page into which strangers have put whatever they liked. */
() => {
  const wrong = [];
  const brief = (text) => JSON.stringify(String(text).slice(0, 160));

  // Only what the portal makes itself: no element and no attribute that acts comes out of a text.
  const acting = "iframe, frame, object, embed, base, form[action], meta[http-equiv], link[href*='evil'], img, audio, video";
  for (const each of document.querySelectorAll(acting)) wrong.push(`there is ${brief(each.outerHTML)}`);
  for (const { src, outerHTML } of document.scripts)
    if (!src.startsWith(`${location.origin}/`)) wrong.push(`there is ${brief(outerHTML)}`);
  for (const each of document.querySelectorAll("*"))
    for (const { name, value } of each.attributes) {
      if (/^on/i.test(name)) wrong.push(`${name} of ${each.tagName}`);
      const isAddress = /^(href|src|action|formaction|xlink:href)$/i.test(name);
      if (isAddress && !/^(https?:|blob:|\/|#|\?)/i.test(value)) wrong.push(`${name} is ${brief(value)}`);
    }
  for (const { origin, href, relList } of document.links)
    if (origin !== location.origin && !(relList.contains("noopener") && relList.contains("noreferrer")))
      wrong.push(`${brief(href)} would know us`);
  if (window.hostile !== undefined) wrong.push(`a script ran: ${window.hostile}`);

  // A letter that turns others round stands in a block of its own, or its effect ends within its own text.
  const turning = /[\u202a-\u202e\u2066-\u2069]/;
  const endsWithin = (text) => {
    let depth = 0;
    for (const letter of text) {
      if (/[\u202a-\u202e]/.test(letter) && depth === 0) return false;
      if (/[\u2066-\u2068]/.test(letter)) depth += 1;
      if (letter === "\u2069") depth -= 1;
      if (depth < 0) return false;
    }
    return depth === 0;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { data, parentElement } = walker.currentNode;
    if (!turning.test(data) || endsWithin(data) || parentElement.closest("script, style, textarea, .xterm, .cm-editor")) continue;
    let block = parentElement;
    while (block.parentElement && getComputedStyle(block).display === "inline") block = block.parentElement;
    const others = block.textContent.replaceAll(data, "").trim();
    if (others !== "") wrong.push(`${brief(data)} turns ${brief(others)}`);
  }

  // Nothing makes the page wider than its window.
  const { clientWidth, scrollWidth } = document.documentElement;
  if (scrollWidth > clientWidth) {
    const wide = [...document.querySelectorAll("main *")].filter((each) => each.children.length === 0 && each.getBoundingClientRect().right > clientWidth + 1);
    wrong.push(`${scrollWidth} px of ${clientWidth}: ${wide.slice(0, 4).map(({ outerHTML }) => brief(outerHTML)).join(" ")}`);
  }

  // What is pressed is where one gets to it.
  const scrolls = (each) => each !== null && (/auto|scroll/.test(getComputedStyle(each).overflowX) || scrolls(each.parentElement));
  for (const each of document.querySelectorAll("main button, main a, [role=dialog] button, [role=menu] button"))
    if (each.checkVisibility({ visibilityProperty: true }) && !scrolls(each.parentElement)) {
      const { left, right } = each.getBoundingClientRect();
      if (left < -1 || right > clientWidth + 1) wrong.push(`nobody gets to ${brief(each.outerHTML)} from ${Math.round(left)} to ${Math.round(right)}`);
    }

  // What leads somewhere is called by more than its first letter.
  for (const each of document.querySelectorAll("main a"))
    if (each.checkVisibility() && each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 0 && each.clientWidth < 40)
      wrong.push(`${each.clientWidth} px of ${each.scrollWidth} are left for ${brief(each.textContent)}`);

  // Neither is a window wider than itself, nor a page without end: what is long is cut, and seen whole where one asks.
  for (const each of document.querySelectorAll("[role=dialog]"))
    if (each.scrollWidth > each.clientWidth + 1) wrong.push(`a window of ${each.clientWidth} px holds ${each.scrollWidth}`);
  for (const each of document.querySelectorAll("main p, main dd, main li, main h1, main h2, [role=dialog] p, [role=dialog] li, [role=dialog] h2, [role=alert]"))
    if (each.querySelector("ul, ol, dl, pre, form, section, [data-testid=said-whole]") === null && each.getBoundingClientRect().height > 1000)
      wrong.push(`${Math.round(each.getBoundingClientRect().height)} px of ${brief(each.textContent)}`);
  return wrong;
}
