// A Minecraft server: `node server.cjs PORT MAX_PLAYERS`, in the folder of its world. `stop` on its console ends it.
'use strict'

const { createMCServer } = require('flying-squid')
const defaults = require('flying-squid/config/default-settings.json')

const [port, most] = process.argv.slice(2).map(Number)

createMCServer({
  ...defaults,
  port,
  'max-players': most,
  'online-mode': false,
  motd: 'A test server',
  'view-distance': 2,
  generation: { name: 'superflat', options: { worldHeight: 80 } },
  worldFolder: 'world',
  // As its own program does; it says who logs in.
  debug: console.log
})
process.on('unhandledRejection', (error) => console.log(error.stack))
