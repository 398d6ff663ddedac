-- Requests as a browser makes them for the parts of a page: headers of about 900 bytes, and each
-- with a path and a Referer of its own.
-- Arguments after "--": the prefix of paths, the origin, the Cookie.

local directory = debug.getinfo(1, "S").source:match("^@(.*/)")
dofile(directory .. "summary.lua")

local requests, next_one = {}, 0

function init(args)
  local prefix, origin, cookie = args[1], args[2], args[3]
  for i = 1, 256 do
    local name = string.format("%08x", (i * 2654435761) % 4294967296)
    requests[i] = wrk.format("GET", prefix .. "/assets/chunk-" .. i .. "." .. name .. ".js?v=" .. i, {
      ["Connection"] = "keep-alive",
      ["sec-ch-ua"] = '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"',
      ["sec-ch-ua-mobile"] = "?0",
      ["sec-ch-ua-platform"] = '"Linux"',
      ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        .. "Chrome/142.0.0.0 Safari/537.36",
      ["Accept"] = "*/*",
      ["Sec-Fetch-Site"] = "same-origin",
      ["Sec-Fetch-Mode"] = "no-cors",
      ["Sec-Fetch-Dest"] = "script",
      ["Referer"] = origin .. prefix .. "/workbench/" .. (i % 16) .. ".html?folder=/home/ada/work",
      ["Accept-Encoding"] = "gzip, deflate, br, zstd",
      ["Accept-Language"] = "en-GB,en;q=0.9,de;q=0.8",
      ["Cookie"] = cookie .. "; theme=dark; app-session=6f1d9b0a7c3e4d52b8a19c0e",
    })
  end
end

function request()
  next_one = next_one % #requests + 1
  return requests[next_one]
end
