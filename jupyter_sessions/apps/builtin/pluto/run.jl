# Starts Pluto's server for one session: julia run.jl PORT [NOTEBOOK]

try
    @eval import Pluto
catch
    println(stderr, "Pluto is not installed in this Julia: julia -e 'using Pkg; Pkg.add(\"Pluto\")'")
    exit(1)
end

settings = Dict{Symbol,Any}(
    :host => "127.0.0.1",
    :port => parse(Int, ARGS[1]),
    :launch_browser => false,
    :dismiss_update_notification => true,
)
if length(ARGS) > 1 && !isempty(ARGS[2])
    settings[:notebook] = abspath(ARGS[2])
end
secret = pop!(ENV, "PLUTO_SECRET") # notebooks do not see it
options = Base.invokelatest(Pluto.Configuration.from_flat_kwargs; settings...)
session = Base.invokelatest(Pluto.ServerSession; secret, options)
Base.invokelatest(Pluto.run, session)
