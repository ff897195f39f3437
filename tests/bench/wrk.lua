-- wrk -s wrk.lua URL -- put|get SIZE KEYS: single keys at random; the figures as one line of JSON.

local threads = {}

function setup(thread)
	thread:set("number", #threads + 1)
	table.insert(threads, thread)
end

function init(args)
	math.randomseed(os.time() * 1000 + number)
	method = args[1] == "put" and "PUT" or "GET"
	body = method == "PUT" and "v" .. string.rep(".", tonumber(args[2]) - 1) or nil
	keys = tonumber(args[3])
end

function request()
	return wrk.format(method, string.format("/v1/kv/bench/%08d", math.random(0, keys - 1)), nil, body)
end

function done(summary, latency, requests)
	local e = summary.errors
	io.write(string.format(
		'\n{"requests":%d,"seconds":%.3f,"errors":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d}\n',
		summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
		latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9),
		latency.max))
end
