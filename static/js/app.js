// The frame of every page: each module does one thing and finds its own elements, also those that come later.
import "./menu.js";
import "./dialogs.js";
import "./copy.js";
import "./forms.js";
import "./toasts.js";
import "./keys.js";
import "./palette.js";
import "./command.js";
import "./unfinished.js";
