// What a person has chosen, kept in this browser.
const DEFAULTS = {
  mode: "hands-free",
  headphones: false,
  silence: 500,
  threshold: 0.5,
  aloud: true,
  transcribe: true,
  speed: 1,
  instructions: "",
  key: "",
};
const NAME = "muomni";

export function loadSettings() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(NAME) ?? "{}") };
  } catch {
    return { ...DEFAULTS };
  }
}

/** Fill the form, keep what is changed, and tell. */
export function bindSettings(form, settings, onchange) {
  const shown = {
    silence: (value) => `${value} ms`,
    threshold: (value) => `${Math.round(value * 100)} %`,
    speed: (value) => `${Number(value).toFixed(2)}×`,
  };
  const show = () => {
    for (const [name, text] of Object.entries(shown)) form.querySelector(`#${name}-shown`).textContent = text(settings[name]);
  };
  for (const field of form.elements) {
    if (!(field.name in DEFAULTS)) continue;
    if (field.type === "radio") field.checked = field.value === settings[field.name];
    else if (field.type === "checkbox") field.checked = settings[field.name];
    else field.value = settings[field.name];
    field.addEventListener(field.type === "range" ? "input" : "change", () => {
      if (field.type === "radio" && !field.checked) return;
      const number = field.type === "range";
      settings[field.name] = field.type === "checkbox" ? field.checked : number ? Number(field.value) : field.value;
      try {
        localStorage.setItem(NAME, JSON.stringify(settings));
      } catch {
        // A private window: it holds for this page.
      }
      show();
    });
    field.addEventListener("change", () => onchange(field.name));
  }
  show();
}

/** The `session` object for these settings. */
export function sessionOf(settings) {
  return {
    type: "realtime",
    output_modalities: [settings.aloud ? "audio" : "text"],
    instructions: settings.instructions,
    audio: {
      input: {
        turn_detection:
          settings.mode === "push"
            ? null
            : { type: "server_vad", threshold: settings.threshold, silence_duration_ms: settings.silence, prefix_padding_ms: 300 },
        transcription: settings.transcribe ? { model: "muomni" } : null,
      },
      output: { speed: settings.speed },
    },
  };
}
