// Players: `node bots.mjs PORT`. A line of input each: `join NAME`, `quit NAME`, `exit`. What becomes of them is printed:
// `spawned NAME UUID`, `ended NAME`.
import readline from 'node:readline'
import mineflayer from 'mineflayer'

const port = Number(process.argv[2])
const bots = new Map()

function join(name) {
  const bot = mineflayer.createBot({
    host: '127.0.0.1',
    port,
    username: name,
    version: '1.21.4',
    auth: 'offline',
    viewDistance: 'tiny',
    hideErrors: true,
    checkTimeoutInterval: 120_000
  })
  bots.set(name, bot)
  bot.once('spawn', () => console.log(`spawned ${name} ${bot.player?.uuid ?? bot._client.uuid}`))
  bot.once('end', () => console.log(`ended ${name}`))
  bot.on('error', () => {})
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const [word, name] = line.split(' ')
  if (word === 'join') join(name)
  else if (word === 'quit') bots.get(name)?.quit()
  else process.exit(0)
}).on('close', () => process.exit(0))
