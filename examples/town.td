-- The sample town that `make run` starts: a vending machine that restocks itself, a room that
-- heats itself, a crossing that follows the traffic.
--
--   tandem check examples/town.td      reads it          tandem test examples/town.td   proves it
--
-- What the devices say and hear (all JSON):
--
--   topic                     who says it      payload                                   how
--   vend/v1/cola              vending machine  {"stock": 12, "sold": 108}                on change, and every 10 s
--   par/cola                  depot            {"low": 4, "cap": 20}                     retained, at start
--   orders                    rule restock     {"vm": "v1", "sku": "cola", "qty": 17, "id": "..."}   QoS 1
--   reply/v1/cola             depot            {"eta": 5}        it will be there in 5 s, QoS 1
--   home/living/temp          thermometer      {"value": 20.8}                           every second
--   home/living/win/south     window contact   {"open": false}                           on change, and every 10 s
--   home/living/heater        rule heat        {"on": true}                              on change, repeated every 30 s
--   city/main/det/ns          loop detector    {"n": 1234}       vehicles ever counted   every second, arms ns and ew
--   city/main/set             rule crossing    {"ns": "G", "ew": "R"}   R red, Y yellow, G green, F flashing
--   city/main/state           the signal       {"ns": "G", "ew": "R"}   what it shows    at once after a command
--   tandem/alarm/order_lost/v1/cola   the hub  {"active": true, ...}                     retained

-- A vending machine that restocks itself. ------------------------------------------------------

STREAM slot FROM 'vend/+vm/+sku' (stock INT RANGE 0..1000, sold COUNTER) STALE AFTER 10m;
STREAM par FROM TABLE 'par/+sku' (low INT, cap INT);
STREAM reply FROM 'reply/+vm/+sku' (eta FLOAT);

-- One order when the stock falls below its reorder point; the next not before stock has come.
RULE restock PER vm, sku
  WHEN slot.stock < par.low ONCE UNTIL slot.stock RISES
  SEND 'orders' {vm, sku, qty: par.cap - slot.stock} QOS 1 IDEMPOTENT
  EXPECT reply ARRIVES WITHIN 30s ELSE ALARM order_lost;

ALARM sold_out PER vm, sku SEVERITY 300 TEXT 'nothing left to sell'
  WHEN slot.stock = 0 CLEAR WHEN slot.stock > 0;

TEST restock {
  AT 0s par['cola'] = {low: 4, cap: 20}; slot['v1', 'cola'] = {stock: 12, sold: 100};
  EXPECT NOT SENT 'orders';
  AT 10s slot['v1', 'cola'] = {stock: 3, sold: 109};
  EXPECT SENT 1 'orders' {vm: 'v1', sku: 'cola', qty: 17};
  -- customers go on buying: no second order while the first is on its way
  AT 12s slot['v1', 'cola'] = {stock: 2, sold: 110}; EXPECT SENT 1 'orders';
  AT 13s reply['v1', 'cola'] = 5;
  -- not even after a crash
  AT 14s RESTART AFTER 2s; slot['v1', 'cola'] = {stock: 1, sold: 111}; EXPECT SENT 1 'orders';
  AT 20s slot['v1', 'cola'] = {stock: 20, sold: 111};
  AT 60s EXPECT NOT order_lost['v1', 'cola'].active;
  AT 70s slot['v1', 'cola'] = {stock: 3, sold: 128}; EXPECT SENT 2 'orders';
  -- this time the depot does not answer
  AT 99s EXPECT NOT order_lost['v1', 'cola'].active;
  AT 101s EXPECT order_lost['v1', 'cola'].active; };

-- A room that heats itself. --------------------------------------------------------------------

STREAM temp FROM 'home/+room/temp' (t °C = $.value RANGE -40..85) STALE AFTER 30s;
STREAM window FROM 'home/+room/win/+w' (open BOOL);
PARAM setpoint °C = 21 RANGE 5..30 PER room;
ACTUATOR heater 'home/+room/heater'
  (on BOOL DEFAULT FALSE FAILSAFE FALSE MIN ON 5s MIN OFF 5s MAX 120/1h) LEASE 1m;

RULE heat PER room UNLESS ANY(window) FOR 5s
  HOLD heater.on = HYST(temp < setpoint - 0.3K, temp > setpoint + 0.3K);

TEST heat {
  AT 0s temp['living'] = 20.4; EXPECT heater['living'].on;
  AT 10s temp['living'] = 21; EXPECT heater['living'].on; -- between the two thresholds it stays
  AT 20s temp['living'] = 21.4; EXPECT NOT heater['living'].on;
  AT 30s temp['living'] = 20.6; EXPECT heater['living'].on;
  -- an open window ends it, but not a short draught
  AT 40s window['living', 'south'] = TRUE; AT 43s EXPECT heater['living'].on;
  AT 46s EXPECT NOT heater['living'].on;
  AT 50s window['living', 'south'] = FALSE; temp['living'] = 20; AT 52s EXPECT heater['living'].on;
  -- a dead thermometer must not heat the house
  AT 79s EXPECT heater['living'].on; AT 81s EXPECT NOT heater['living'].on; };

-- A crossing that follows the traffic. ---------------------------------------------------------

STREAM det FROM 'city/+x/det/+arm' (n COUNTER) STALE AFTER 30s;
ACTUATOR light 'city/+x/set' (ns ENUM('R','Y','G','F') DEFAULT 'R', ew ENUM('R','Y','G','F') DEFAULT 'R')
  LEASE 10s CONFIRM 'city/+x/state' WITHIN 2s ELSE ALARM lamp;

-- Green goes to the busier road after 8 s, to the other one after 40 s at the latest. A signal that
-- does not confirm what it was told flashes yellow until it does again.
MACHINE crossing PER x {
  LET ns = RATE(det[arm: 'ns'] OVER 30s); LET ew = RATE(det[arm: 'ew'] OVER 30s);
  INVARIANT light.ns IN ('R','F') OR light.ew IN ('R','F');
  STATE red1 GO ns_g AFTER 2s;
  STATE ns_g MIN 8s HOLD light.ns = 'G' GO ns_y WHEN ew > 1.3 * ns GO ns_y AFTER 40s;
  STATE ns_y HOLD light.ns = 'Y' GO red2 AFTER 3s;
  STATE red2 GO ew_g AFTER 2s;
  STATE ew_g MIN 8s HOLD light.ew = 'G' GO ew_y WHEN ns > 1.3 * ew GO ew_y AFTER 40s;
  STATE ew_y HOLD light.ew = 'Y' GO red1 AFTER 3s;
  STATE amber HOLD light = {ns: 'F', ew: 'F'} GO red1 WHEN NOT lamp.active FOR 10s;
  ALWAYS GO amber WHEN lamp.active; ON GAP RESET; };

TEST crossing {
  FROM 0s TO 20s EVERY 1s det['main', 'ns'] = 9; FROM 0s TO 20s EVERY 1s det['main', 'ew'] = ROUND(ELAPSED / 2s);
  AT 1s EXPECT light['main'].ns = 'R' AND light['main'].ew = 'R';
  AT 5s EXPECT light['main'].ns = 'G' AND light['main'].ew = 'R';
  AT 11s EXPECT light['main'].ns = 'Y'; AT 16s EXPECT light['main'].ew = 'G';
  -- a lamp that does not do what it is told: amber, until it has been well again for a while
  MUTE light['main']; AT 21s EXPECT light['main'].ew = 'G';
  AT 23s EXPECT crossing['main'].state = 'amber' AND light['main'].ns = 'F'; };
