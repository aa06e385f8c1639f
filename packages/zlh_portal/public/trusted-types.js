// The component library sets its style sheets as a text, which is let through: there is no markup without this sign. All
// else that could become markup or a script is refused by the browser, since this is the one policy that there may be.
if (window.trustedTypes) {
  trustedTypes.createPolicy("default", {
    createHTML: function (text) {
      return text.includes("<") ? null : text;
    },
  });
}
