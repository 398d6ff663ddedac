# A Shiny app in one file: a button, and how often the server has heard of it.
library(shiny)

ui <- fluidPage(actionButton("press", "Press"), textOutput("answer"))
server <- function(input, output) {
  output$answer <- renderText(paste("The server counts", input$press))
}
shinyApp(ui, server)
