# Serves a Shiny app on a Unix socket: serve.R SOCKET FOLDER [FILE]
arguments <- commandArgs(trailingOnly = TRUE)
if (!requireNamespace("shiny", quietly = TRUE)) {
  message("R does not have the package shiny: install.packages(\"shiny\")")
  quit(status = 1)
}
place <- path.expand(if (length(arguments) > 2) arguments[3] else arguments[2])
if (!file.exists(place)) {
  message("There is no file or folder ", place, ".")
  quit(status = 1)
}
is_app <- function(folder) any(file.exists(file.path(folder, c("app.R", "server.R", "app.r", "server.r"))))
if (dir.exists(place) && !is_app(place)) {
  message("There is no Shiny app in ", place, ": neither app.R, nor ui.R and server.R.")
  quit(status = 1)
}
# Shiny takes a path for a port if it says which permissions others shall not have.
socket <- structure(arguments[1], mask = strtoi("077", 8L))
options(shiny.launch.browser = FALSE)
# A file or folder of the app is what its working directory follows from, as in runApp.
shiny::runApp(place, port = socket, launch.browser = FALSE)
