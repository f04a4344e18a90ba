// A viewfinder: look, take a picture, done.
export class Camera {
  constructor(dialog, onpicture, onproblem) {
    this.dialog = dialog;
    this.video = dialog.querySelector("video");
    this.onproblem = onproblem;
    dialog.querySelector("#camera-cancel").onclick = () => dialog.close();
    dialog.querySelector("#camera-take").onclick = async () => {
      await onpicture(this.video);
      dialog.close();
    };
    dialog.addEventListener("close", () => this.stop());
  }

  async open() {
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
    } catch (error) {
      this.onproblem(error.name === "NotAllowedError" ? "The camera was not allowed." : "There is no camera to use.");
      return;
    }
    this.video.srcObject = this.stream;
    await this.video.play();
    this.dialog.showModal();
  }

  stop() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = this.video.srcObject = null;
  }
}
