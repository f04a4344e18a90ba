// Pictures and films on their way into a message: from files, the clipboard, a drop, or the camera.
const LONGEST_SIDE = 1280;
const MOST_FILM_BYTES = 30 * 1024 * 1024;

export class Attachments {
  /** onproblem(text) is told what could not be taken. */
  constructor(place, onproblem) {
    this.place = place;
    this.onproblem = onproblem;
    this.items = []; // {kind, url, name}
  }

  get empty() {
    return this.items.length === 0;
  }

  async add(files) {
    for (const file of files) {
      try {
        // A GIF may be a film, and is left as it is.
        if (file.type.startsWith("video/") || file.type === "image/gif") await this.addFilm(file);
        else if (file.type.startsWith("image/")) this.put("image", await shrunk(await createImageBitmap(file)), file.name);
        else this.onproblem(`${file.name}: expected a picture or a film.`);
      } catch {
        this.onproblem(`${file.name}: this browser cannot read it.`);
      }
    }
  }

  async addFilm(file) {
    if (file.size > MOST_FILM_BYTES) {
      this.onproblem(`${file.name}: at most 30 MB can be sent.`);
      return;
    }
    this.put("video", await dataUrl(file), file.name);
  }

  async addFrame(video) {
    this.put("image", await shrunk(await createImageBitmap(video)), "camera");
  }

  put(kind, url, name) {
    this.items.push({ kind, url, name });
    this.show();
  }

  /** The parts of a message; nothing is attached any more. */
  take() {
    const taken = this.items;
    this.items = [];
    this.show();
    return taken;
  }

  show() {
    this.place.hidden = this.empty;
    this.place.replaceChildren(
      ...this.items.map((item, index) => {
        const figure = document.createElement("figure");
        const remove = document.createElement("button");
        remove.type = "button";
        remove.ariaLabel = `Remove ${item.name}`;
        remove.innerHTML = '<svg aria-hidden="true"><use href="icons.svg#remove"/></svg>';
        remove.onclick = () => {
          this.items.splice(index, 1);
          this.show();
        };
        figure.append(thumbnail(item), remove);
        return figure;
      }),
    );
  }
}

export function contentOf({ kind, url }) {
  return kind === "image" ? { type: "input_image", image_url: url } : { type: "input_video", video_url: url };
}

export function thumbnail({ kind, url, name }) {
  const film = kind === "video" && !url.startsWith("data:image/");
  const element = document.createElement(film ? "video" : "img");
  element.src = url;
  if (film) Object.assign(element, { muted: true, loop: true, autoplay: true, playsInline: true, ariaLabel: name });
  else element.alt = name;
  return element;
}

async function shrunk(bitmap) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff"; // what is transparent is seen on white, as the model does
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.width * canvas.height < 300_000 ? canvas.toDataURL("image/png") : canvas.toDataURL("image/jpeg", 0.9);
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
