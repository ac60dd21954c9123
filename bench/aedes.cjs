// A broker of npm's aedes, as its README starts one, on a port of 127.0.0.1.
//
//     NODE_PATH=build/node/node_modules node bench/aedes.cjs PORT
"use strict"
const net = require("net")
const aedes = require("aedes")

const broker = aedes()
net.createServer({ noDelay: true }, broker.handle).listen(Number(process.argv[2]), "127.0.0.1", 1024)
