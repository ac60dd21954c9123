-- both roads green in one state: refused at load
ACTUATOR light 'city/+x/set' (ns ENUM('R', 'G') DEFAULT 'R', ew ENUM('R', 'G') DEFAULT 'R');
STREAM det FROM 'city/+x/det' (n INT);
MACHINE crossing PER x {
  INVARIANT light.ns = 'R' OR light.ew = 'R';
  STATE a HOLD light.ns = 'G' GO b WHEN det > 3;
  STATE b HOLD light = {ns: 'G', ew: 'G'} GO a AFTER 5s; };
